"""Following a job whose connection is cut without a word; and what following one leaves in the environment."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from fake_dashboard import dashboard

from cluster import jobs
from cluster.errors import ClusterError
from cluster.job_server import find_job_server
from cluster.jobs import Jobs
from cluster.sweep_job import SweepJob

JOB = SweepJob(
    id="heart-1",
    sweep="heart",
    state="RUNNING",
    message="",
    started=datetime.now(UTC),
    ended=None,
    exit_code=None,
    runs="/runs",
    code=(),
)


class Client:
    """Says one thing, then nothing for ever. Asked, the job still runs so many times; or nobody answers."""

    def __init__(self, running: int, *, gone: bool = False) -> None:
        self._running = running
        self._gone = gone
        self.asked = 0

    async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        yield "one\n"
        await asyncio.Event().wait()

    def get_job_info(self, job_id: str) -> Any:
        self.asked += 1
        if self._gone:
            raise ConnectionError("no route to host")
        state = "RUNNING" if self.asked <= self._running else "SUCCEEDED"
        times = {"start_time": 1, "end_time": 2, "driver_exit_code": 0}
        return SimpleNamespace(
            submission_id=job_id, status=state, message="", metadata={"voxtune_sweep": "heart"}, **times
        )


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Follows with a client: what was told, and the job as it ended."""
    monkeypatch.setattr(jobs, "QUIET_SECONDS", 0.05)

    def follow(client: Client) -> tuple[list[str], SweepJob]:
        told: list[str] = []
        with dashboard() as url:
            server = Jobs(find_job_server(url))
        monkeypatch.setattr(server, "_client", client)
        return told, server.follow(JOB, told.append)

    return follow


def test_a_job_that_ended_meanwhile_is_not_waited_for(follow: Any) -> None:
    client = Client(running=2)
    told, ended = follow(client)
    assert (told, ended.state) == (["one\n"], "SUCCEEDED")
    assert client.asked == 4  # twice it ran, then it had ended; and how it ended


def test_a_cluster_that_is_gone_is_told(follow: Any) -> None:
    with pytest.raises(ClusterError, match="no longer answers: no route to host"):
        follow(Client(running=0, gone=True))


@pytest.mark.parametrize("before", [None, "http://elsewhere:8265"])
def test_what_the_client_is_told_of_its_address_is_not_left_in_the_environment(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "RAY_API_SERVER_ADDRESS"
    monkeypatch.delenv(name, raising=False)
    if before:
        monkeypatch.setenv(name, before)
    with dashboard() as url:
        assert Jobs(find_job_server(url)).all() == []
    assert os.environ.get(name) == before
