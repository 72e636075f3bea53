"""Sweeps as jobs of a Ray cluster: submit, list, find, follow, stop. Of several jobs of one sweep the latest counts."""

import asyncio
import logging
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from cluster.errors import ClusterError
from cluster.job_server import JobServer
from cluster.sweep_job import ENDED, Order, SweepJob, sweep_job

STOP_SECONDS = 120
"""How long a driver may take to end in order (checkpoints, report) before Ray kills it; Ray's default is 3."""

ENVIRONMENT = {
    # A driver started by Ray has SIGINT blocked, and SIGTERM before its search begins would end it without a farewell.
    "RAY_JOB_STOP_SIGNAL": "SIGINT",
    "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS),
}
"""Variables of a job's processes. Whoever sees the dashboard sees them: no secret belongs here."""

_RAY_S_OWN = re.compile(
    r"^(Running entrypoint for job |[-\d]+ [:,\d]+\t[A-Z]+ job_manager\.py:\d+ -- ).*\n?", re.MULTILINE
)
_POLL_SECONDS = 0.5
_ADDRESS = "RAY_API_SERVER_ADDRESS"

QUIET_SECONDS = 30.0
"""After so long without a word from a job that is followed, the cluster is asked whether it still runs."""


class Jobs:
    """The jobs of one cluster. Every method raises ClusterError if the cluster no longer answers or refuses."""

    def __init__(self, server: JobServer) -> None:
        from ray.job_submission import JobSubmissionClient

        for handler in logging.getLogger("ray").handlers:  # which tell of each package that is made and sent
            handler.setLevel(logging.WARNING)
        self.url = server.url
        with self._answering(), _preferred(server.url):
            self._client = JobSubmissionClient(server.url, headers=server.token.headers if server.token else {})

    def all(self) -> list[SweepJob]:
        """Every job of a sweep, the latest first."""
        with self._answering():
            found = [job for details in self._client.list_jobs() if (job := sweep_job(details))]
        return sorted(found, key=lambda job: job.started.timestamp() if job.started else math.inf, reverse=True)

    def find(self, sweep: str) -> SweepJob | None:
        """The latest job of a sweep."""
        return next((job for job in self.all() if job.sweep == sweep), None)

    def latest(self, sweep: str) -> SweepJob:
        """The same. Raises ClusterError if there is none."""
        job = self.find(sweep)
        if job is None:
            others = sorted({job.sweep for job in self.all()})
            known = f"it has jobs of {', '.join(others)}" if others else "it has none of any sweep"
            raise ClusterError(f"the cluster at {self.url} has no job of a sweep {sweep!r}; {known}")
        return job

    def submit(self, order: Order) -> str:
        """Start a sweep's driver in the cluster. Returns the job's id.

        Raises ClusterError if a job of this sweep is under way.
        """
        job = self.find(order.sweep)
        if job and job.active:
            raise ClusterError(
                f"the sweep {order.sweep} is being worked on by the job {job.id} ({job.state}): nothing was submitted; "
                f"see it by `voxtune logs {order.sweep} -f`, end it by `voxtune stop {order.sweep}`"
            )
        job_id = f"{order.sweep}-{datetime.now():%Y%m%d-%H%M%S}"
        return self._submit(job_id, order.entrypoint, order.folder, order.metadata)

    def ask(self, sweep: str, entrypoint: str, folder: Path, *, patience: float = 180) -> tuple[str, int]:
        """Run a short command in the cluster and forget it. Returns what it printed, and its exit code.

        Args:
            patience: seconds that it may take, the making of its environment on the cluster included.
        """
        job_id = self._submit(f"ask-{sweep}-{time.time_ns()}", entrypoint, folder, {})
        deadline = time.monotonic() + patience
        with self._answering():
            while (details := self._client.get_job_info(job_id)).status not in ENDED:
                if time.monotonic() > deadline:
                    self._client.stop_job(job_id)
                    raise ClusterError(
                        f"the cluster at {self.url} did not come to answer within {patience:.0f} s: {details.message}"
                    )
                time.sleep(_POLL_SECONDS)
            printed = self._client.get_job_logs(job_id)
            self._client.delete_job(job_id)
        if details.driver_exit_code is None:
            raise ClusterError(f"the cluster at {self.url} could not answer: {details.message}")
        return _driver_s(printed), details.driver_exit_code

    def refreshed(self, job: SweepJob) -> SweepJob:
        """The job as it is now."""
        with self._answering():
            return sweep_job(self._client.get_job_info(job.id)) or job

    def logs(self, job: SweepJob) -> str:
        """All that its driver printed so far."""
        with self._answering():
            return _driver_s(self._client.get_job_logs(job.id))

    def follow(self, job: SweepJob, tell: Callable[[str], None]) -> SweepJob:
        """Hand what the driver prints to `tell` until the job ends. Returns the job as it ended."""

        async def tail() -> None:
            texts = aiter(self._client.tail_job_logs(job.id))
            coming = asyncio.ensure_future(anext(texts, None))
            while True:
                await asyncio.wait([coming], timeout=QUIET_SECONDS)
                if not coming.done():  # a connection that was cut says nothing, just as a job that has nothing to say
                    if not (await asyncio.to_thread(self.refreshed, job)).active:
                        coming.cancel()
                        return
                    continue
                text = coming.result()
                if text is None:
                    return
                tell(_driver_s(text))
                coming = asyncio.ensure_future(anext(texts, None))

        with self._answering():
            asyncio.run(tail())
        return self.wait(job)

    def stop(self, job: SweepJob) -> SweepJob:
        """Have the driver end in order, and wait for it. Returns the job as it ended."""
        with self._answering():
            self._client.stop_job(job.id)
        return self.wait(job)

    def wait(self, job: SweepJob) -> SweepJob:
        """Wait for a job's end. Returns it as it ended."""
        while (job := self.refreshed(job)).active:
            time.sleep(_POLL_SECONDS)
        return job

    def _submit(self, job_id: str, entrypoint: str, folder: Path, metadata: Mapping[str, str]) -> str:
        with self._answering():
            return self._client.submit_job(
                entrypoint=entrypoint,
                submission_id=job_id,
                runtime_env={"working_dir": str(folder), "env_vars": ENVIRONMENT},
                metadata=dict(metadata),
            )

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Says what the block's requests died of in our words."""
        import aiohttp
        import requests

        lost = (ConnectionError, requests.exceptions.RequestException, aiohttp.ClientError)
        try:
            yield
        except lost as error:
            raise ClusterError(f"the cluster at {self.url} no longer answers: {error}") from error
        except RuntimeError as error:
            raise ClusterError(f"the cluster at {self.url} failed: {error}") from error


@contextmanager
def _preferred(url: str) -> Iterator[None]:
    """While the block runs, Ray's client takes `url`: to its argument it prefers this variable, and RAY_ADDRESS too."""
    before = os.environ.get(_ADDRESS)
    os.environ[_ADDRESS] = url
    try:
        yield
    finally:
        if before is None:
            del os.environ[_ADDRESS]
        else:
            os.environ[_ADDRESS] = before


def _driver_s(text: str) -> str:
    """What the driver printed, without the lines that Ray puts before it."""
    return _RAY_S_OWN.sub("", text)
