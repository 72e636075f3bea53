"""What the commands for jobs show, of a dashboard that only pretends; `test_jobs.py` has them work on a real one."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from command_line import run_voxtune
from fake_dashboard import dashboard

from cluster.jobs import Jobs

Voxtune = Callable[..., tuple[object, str, str]]


@pytest.fixture
def _utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def voxtune(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Voxtune:
    """Runs a command at a home without a token. Returns exit code, output, errors."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)

    def run(*arguments: object) -> tuple[object, str, str]:
        ended = run_voxtune(*arguments, monkeypatch=monkeypatch, capsys=capsys)
        return ended.code, ended.out, ended.err

    return run


def told(sweep: str | None, status: str, *, start: int, end: int | None = None, **more: Any) -> dict[str, Any]:
    """A job as a dashboard tells of it; times in seconds after 2026-11-22 03:12 UTC."""
    zero = 1795317120
    return {
        "type": "SUBMISSION",
        "submission_id": f"{sweep}-{start}",
        "status": status,
        "entrypoint": "x",
        "start_time": 1000 * (zero + start),
        "end_time": None if end is None else 1000 * (zero + end),
        "metadata": {"voxtune_sweep": sweep} if sweep else None,
        **more,
    }


@pytest.mark.usefixtures("_utc")
def test_jobs_are_listed_the_latest_first_and_only_sweeps(voxtune: Voxtune) -> None:
    jobs = [
        told("heart", "FAILED", start=0, end=75),
        told(None, "RUNNING", start=5),
        told("spleen", "RUNNING", start=3600),
        told("heart", "STOPPED", start=60, end=61),
    ]
    with dashboard(jobs=jobs) as url:
        code, out, _ = voxtune("jobs", "--address", url)
    assert code == 0
    rows = [line.split() for line in out.splitlines()[1:]]
    assert rows == [
        ["sweep", "state", "begun", "took", "job"],
        ["spleen", "running", "2026-11-22", "04:12", "spleen-3600"],
        ["heart", "stopped", "2026-11-22", "03:13", "1", "s", "heart-60"],
        ["heart", "failed", "2026-11-22", "03:12", "1", "min", "15", "s", "heart-0"],
    ]


def test_a_cluster_that_lets_anybody_in_is_warned_of(voxtune: Voxtune, monkeypatch: pytest.MonkeyPatch) -> None:
    with dashboard() as url:
        warning = f"Warning: {url} asks for no token: whoever reaches it can run programs on the cluster.\n"
        nothing = "No sweep was submitted to this cluster since it started.\n"
        assert voxtune("jobs", "--address", url) == (0, warning + nothing, "")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    with dashboard(token="secret") as url:
        assert voxtune("jobs", "--address", url) == (0, nothing, "")


def test_the_address_may_come_from_ray_s_variables(voxtune: Voxtune, monkeypatch: pytest.MonkeyPatch) -> None:
    with dashboard() as first, dashboard() as second:
        monkeypatch.setenv("RAY_ADDRESS", first)
        assert first in voxtune("jobs")[1]
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", second)
        assert second in voxtune("jobs")[1]
        assert first in voxtune("jobs", "--address", first)[1]
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS")
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    code, _, errors = voxtune("jobs")
    assert code == 2
    assert "got 'head:6379' (`voxtune run` takes HOST:PORT)" in errors


def test_what_is_not_there_or_does_not_run(voxtune: Voxtune) -> None:
    with dashboard(jobs=[told("heart", "SUCCEEDED", start=0, end=9), told("spleen", "FAILED", start=1, end=2)]) as url:
        missing = f"error: the cluster at {url} has no job of a sweep 'lung'; it has jobs of heart, spleen\n"
        assert voxtune("logs", "lung", "--address", url)[::2] == (2, missing)
        assert voxtune("resume", "lung", "--address", url)[::2] == (2, missing)
        ended = "error: the job heart-0 of the sweep heart does not run: succeeded\n"
        assert voxtune("stop", "heart", "--address", url)[::2] == (2, ended)


def test_a_status_that_fails_on_the_cluster_fails_here(voxtune: Voxtune, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Jobs, "ask", lambda *_: ("error: no sweep at heart\n", 2))
    with dashboard(jobs=[told("heart", "SUCCEEDED", start=0, end=9), told("spleen", "RUNNING", start=1)]) as url:
        code, out, _ = voxtune("status", "heart", "--address", url)
        assert (code, out.splitlines()[-2:]) == (2, ["heart-0: succeeded", "error: no sweep at heart"])
        code, out, _ = voxtune("status", "spleen", "--address", url)
        assert (code, out.splitlines()[-1]) == (0, "It prepares: no trial was begun yet.")
