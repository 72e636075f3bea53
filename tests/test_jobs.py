"""Sweeps as jobs of a real Ray head that asks for a token, by the commands a user types."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml
from command_line import Ended, run_voxtune
from ray_head import RayHead, ray_head

from tuner.directory import SweepDirectory
from tuner.results import read_results

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:ssl=None is deprecated:DeprecationWarning"),  # of Ray's own client
]

OWN_RUN = """\
import sys

from own_helper import advancing
from trainables.toy import ToyRun


class OwnRun(ToyRun):
    def advance(self, budget):
        assert "torch" not in sys.modules, "what does not use it is spared it"
        with advancing(self._seed, budget):
            return super().advance(budget)
"""
OWN_HELPER = """\
import time
from contextlib import contextmanager
from pathlib import Path

ADVANCED, RELEASED = Path({folder!r}, "advanced"), Path({folder!r}, "released")


@contextmanager
def advancing(seed, budget):
    yield
    # After a few rungs the sweep stands still until the test goes on.
    while not RELEASED.exists() and ADVANCED.exists() and len(ADVANCED.read_text().splitlines()) >= 9:
        time.sleep(0.05)
    with ADVANCED.open("a") as file:
        file.write(f"{{seed}} {{budget}}\\n")
"""
SWEEP = {
    "name": "own",
    "trainable": "own_run:OwnRun",
    "space": {"learning_rate": {"float": [1e-5, 1e-1], "log": True}},
    "default": {"learning_rate": 1e-2},
    "budget": {"unit": "steps", "maximum": 900},
    "search": {"trials": 8, "sampler": "random"},
    "confirm": {"top": 0},
}

Voxtune = Callable[..., Ended]


@pytest.fixture(scope="module")
def head() -> Iterator[RayHead]:
    with ray_head() as head:
        yield head


@pytest.fixture(autouse=True)
def _user(head: RayHead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a user on another machine: the head's address and token, a home of their own."""
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", head.url)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(head.token_file))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def voxtune(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Voxtune:
    """Runs a command."""

    def run(*arguments: object) -> Ended:
        return run_voxtune(*arguments, monkeypatch=monkeypatch, capsys=capsys)

    return run


def test_submit_follow_stop_submit_again_resume(head: RayHead, voxtune: Voxtune, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(SWEEP))
    (tmp_path / "own_run.py").write_text(OWN_RUN)
    (tmp_path / "own_helper.py").write_text(OWN_HELPER.format(folder=str(tmp_path)))
    (tmp_path / "unrelated.txt").write_text("x")
    submit = ("submit", "sweep.yaml", "--runs", tmp_path / "runs", "--code", "own_helper.py")

    submitted = voxtune(*submit)
    assert submitted.code == 0, submitted.err
    job_id = re.search(r"Submitted own as (own-\d{8}-\d{6});", submitted.out)[1]
    again = voxtune(*submit)
    assert (again.code, again.out) == (2, "")
    assert re.search(f"own is being worked on by the job {job_id} .*nothing was submitted", again.err)

    follower = subprocess.Popen(
        [sys.executable, "-m", "tuner.cli", "logs", "own", "-f"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with follower:
        for line in follower.stdout:
            if "ended" in line:
                break
        follower.send_signal(signal.SIGINT)
        rest, errors = follower.communicate(timeout=20)
    assert follower.returncode == 130
    assert rest.splitlines()[-1] == f"The job {job_id} goes on; end it by: voxtune stop own"
    assert errors == ""

    listed = voxtune("jobs").out.splitlines()
    assert listed[0].split() == ["sweep", "state", "begun", "took", "job"]
    assert re.fullmatch(rf"own +running +\S+ \S+ +{job_id} *", listed[1])
    status = voxtune("status", "own", "--address", head.url)
    assert status.out.startswith(f"{job_id}: running\nown: ")
    assert "Driver: process" in status.out
    assert status.code == 0
    actors = asked(head, "/api/v0/actors?detail=1")["data"]["result"]["result"]
    assert {"slot 1 of own", "slot 2 of own"} <= {actor["repr_name"] for actor in actors}
    trial = voxtune("logs", "own", "--trial", 0)
    assert (trial.code, trial.err) == (0, "")
    assert re.search(r"^\S+ \S+ trial 0: taken up by slot \d of own on \S+, seed 0: ", trial.out, re.MULTILINE)
    missing = voxtune("logs", "own", "--trial", 99)
    assert missing.code == 2
    assert re.search(r"--trial: trial 99 of own has no log \(yet\); \d have one, 0 to \d", missing.out)

    stopped = voxtune("stop", "own")
    assert f"{job_id}: stopped; go on by submitting it again" in stopped.out, stopped.err
    directory = SweepDirectory.find("own", tmp_path / "runs")
    left = read_results(directory)
    states = left.trials["state"].tolist()
    assert "RUNNING" not in states
    assert 0 < sum(state in ("COMPLETE", "PRUNED") for state in states) < 8
    assert (directory.report / "report.md").is_file()
    assert "Nothing is lost; go on by: voxtune resume" in voxtune("logs", "own").out
    assert voxtune("stop", "own").err == f"error: the job {job_id} of the sweep own does not run: stopped\n"

    (tmp_path / "released").touch()
    followed = voxtune(*submit, "--follow")
    assert followed.code == 0, followed.err
    assert "Best configuration: " in followed.out
    results = read_results(directory)
    assert len(results.trials) == 8
    assert results.trials["state"].isin(["COMPLETE", "PRUNED"]).all()
    assert not results.curves.duplicated(["number", "step"]).any()
    finished = left.trials[left.trials["state"].isin(["COMPLETE", "PRUNED"])].set_index("number")["score"]
    assert results.trials.set_index("number")["score"][finished.index].equals(finished)
    # No rung was trained twice, but for those that the stop fell into: one a slot.
    advanced = (tmp_path / "advanced").read_text().splitlines()
    assert len(results.curves) <= len(advanced) <= len(results.curves) + 2

    resumed = voxtune("resume", "own", "--address", head.url, "--trials", 10)
    assert resumed.code == 0, resumed.err
    assert voxtune("logs", "own", "-f").code == 0
    assert len(read_results(directory).trials) == 10
    assert_nowhere_stands_the_token(head, tmp_path)


def asked(head: RayHead, path: str) -> Any:
    """What the dashboard answers."""
    with urlopen(Request(f"{head.url}{path}", headers={"Authorization": f"Bearer {head.token}"})) as answer:
        return json.load(answer)


def assert_nowhere_stands_the_token(head: RayHead, results: Path) -> None:
    """The token stands in nothing that the dashboard tells of jobs, in no log and in none of the sweep's files."""
    told = asked(head, "/api/jobs/")
    (job, *_) = (job for job in told if (job["metadata"] or {}).get("voxtune_sweep") == "own")
    assert job["metadata"]["job_name"] == "own"
    assert job["metadata"].keys() == {"job_name", "voxtune_sweep", "voxtune_runs", "voxtune_version", "voxtune_code"}
    assert head.token not in json.dumps(told)
    for folder in (results, head.folder / "ray"):
        files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        assert files
        assert not [path for path in files if head.token.encode() in path.read_bytes()]


def test_without_the_token_it_is_refused(head: RayHead, voxtune: Voxtune, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    for command in (("jobs",), ("logs", "own"), ("stop", "own"), ("status", "own", "--address", head.url)):
        refused = voxtune(*command)
        assert (refused.code, refused.out) == (2, "")
        assert refused.err.startswith(f"error: {head.url} asks for a token, and there is none here: put the")


def test_data_that_the_cluster_has_not(head: RayHead, voxtune: Voxtune, tmp_path: Path) -> None:
    sweep = {"name": "lost", "dataset": {"path": "Blobs"}, "space": SWEEP["space"], "budget": {"maximum": 1e6}}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    refused = voxtune("submit", "sweep.yaml")
    assert refused.code == 2
    assert "sweep.yaml: dataset.path: must be an absolute path on the cluster's machines" in refused.err
    assert voxtune("logs", "lost").code == 2

    options = ("--data", "/nowhere/Blobs", "--runs", tmp_path / "runs", "--follow")
    followed = voxtune("submit", "sweep.yaml", *options)
    assert followed.code == 2
    assert "error: /nowhere/Blobs" in followed.out
    status = voxtune("status", "lost", "--address", head.url)
    assert re.search(r"^lost-\d+-\d+: failed with exit code 2$", status.out, re.MULTILINE)
    assert "error: /nowhere/Blobs" in status.out


def test_a_name_that_the_cluster_does_not_know(head: RayHead, voxtune: Voxtune) -> None:
    refused = voxtune("logs", "nothing")
    assert refused.code == 2
    assert refused.err.startswith(f"error: the cluster at {head.url} has no job of a sweep 'nothing'; it has ")
