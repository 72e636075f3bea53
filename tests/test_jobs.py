"""Sweeps as jobs of a real Ray head that asks for a token, by the commands a user types."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
import yaml
from ray_head import RayHead, ray_head

from tuner.directory import SweepDirectory
from tuner.results import read_results

pytestmark = [pytest.mark.ray, pytest.mark.slow]

OWN_RUN = """\
from own_helper import advancing
from trainables.toy import ToyRun


class OwnRun(ToyRun):
    def advance(self, budget):
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

Voxtune = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def head() -> Iterator[RayHead]:
    with ray_head() as head:
        yield head


@pytest.fixture
def variables(head: RayHead, tmp_path: Path) -> Mapping[str, str]:
    """The environment of a user on another machine: the head's address and token, a home of their own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {
        **kept,
        "HOME": str(tmp_path),
        "RAY_API_SERVER_ADDRESS": head.url,
        "RAY_AUTH_TOKEN_PATH": str(head.token_file),
        "COLUMNS": "200",
    }


@pytest.fixture
def voxtune(variables: Mapping[str, str], tmp_path: Path) -> Voxtune:
    """Runs a command in the folder `tmp_path`."""

    def run(*arguments: object, without: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tuner.cli", *map(str, arguments)]
        environment = {name: value for name, value in variables.items() if name != without}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=150)

    return run


def wait_for(done: Callable[[], bool], *, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_submit_follow_stop_submit_again_resume(
    head: RayHead, voxtune: Voxtune, variables: Mapping[str, str], tmp_path: Path
) -> None:
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(SWEEP))
    (tmp_path / "own_run.py").write_text(OWN_RUN)
    (tmp_path / "own_helper.py").write_text(OWN_HELPER.format(folder=str(tmp_path)))
    (tmp_path / "unrelated.txt").write_text("x")
    submit = ("submit", "sweep.yaml", "--runs", tmp_path / "runs", "--code", "own_helper.py")

    submitted = voxtune(*submit)
    assert submitted.returncode == 0, submitted.stderr
    job_id = re.search(r"Submitted own as (own-\d{8}-\d{6});", submitted.stdout)[1]
    again = voxtune(*submit)
    assert (again.returncode, again.stdout) == (2, "")
    assert re.search(f"own is being worked on by the job {job_id} .*nothing was submitted", again.stderr)

    follower = subprocess.Popen(
        [sys.executable, "-m", "tuner.cli", "logs", "own", "-f"],
        cwd=tmp_path,
        env=dict(variables),
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

    listed = voxtune("jobs").stdout.splitlines()
    assert listed[0].split() == ["sweep", "state", "begun", "took", "job"]
    assert re.fullmatch(rf"own +running +\S+ \S+ +{job_id} *", listed[1])
    status = voxtune("status", "own", "--address", head.url)
    assert status.stdout.startswith(f"{job_id}: running\nown: ")
    assert "Driver: process" in status.stdout
    assert status.returncode == 0

    stopped = voxtune("stop", "own")
    assert f"{job_id}: stopped; go on by submitting it again" in stopped.stdout, stopped.stderr
    directory = SweepDirectory.find("own", tmp_path / "runs")
    left = read_results(directory)
    states = left.trials["state"].tolist()
    assert "RUNNING" not in states
    assert 0 < sum(state in ("COMPLETE", "PRUNED") for state in states) < 8
    assert (directory.report / "report.md").is_file()
    assert "Nothing is lost; go on by: voxtune resume" in voxtune("logs", "own").stdout
    assert voxtune("stop", "own").stderr == f"error: the job {job_id} of the sweep own does not run: stopped\n"

    (tmp_path / "released").touch()
    followed = voxtune(*submit, "--follow")
    assert followed.returncode == 0, followed.stderr
    assert "Best configuration: " in followed.stdout
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
    assert resumed.returncode == 0, resumed.stderr
    assert voxtune("logs", "own", "-f").returncode == 0
    assert len(read_results(directory).trials) == 10
    assert_nowhere_stands_the_token(head, tmp_path)


def assert_nowhere_stands_the_token(head: RayHead, results: Path) -> None:
    """The token stands in nothing that the dashboard tells of jobs, in no log and in none of the sweep's files."""
    request = Request(f"{head.url}/api/jobs/", headers={"Authorization": f"Bearer {head.token}"})
    with urlopen(request) as answer:
        told = answer.read().decode()
    (job, *_) = (job for job in json.loads(told) if (job["metadata"] or {}).get("voxtune_sweep") == "own")
    assert job["metadata"].keys() == {"voxtune_sweep", "voxtune_runs", "voxtune_version", "voxtune_code"}
    assert head.token not in told
    for folder in (results, head.folder / "ray"):
        files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        assert files
        assert not [path for path in files if head.token.encode() in path.read_bytes()]


def test_without_the_token_it_is_refused(head: RayHead, voxtune: Voxtune) -> None:
    for command in (("jobs",), ("logs", "own"), ("stop", "own"), ("status", "own", "--address", head.url)):
        refused = voxtune(*command, without="RAY_AUTH_TOKEN_PATH")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.startswith(f"error: {head.url} asks for a token, and there is none here: put the")


def test_data_that_the_cluster_has_not(head: RayHead, voxtune: Voxtune, tmp_path: Path) -> None:
    sweep = {"name": "lost", "dataset": {"path": "Blobs"}, "space": SWEEP["space"], "budget": {"maximum": 1e6}}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    refused = voxtune("submit", "sweep.yaml")
    assert refused.returncode == 2
    assert "sweep.yaml: dataset.path: must be an absolute path on the cluster's machines" in refused.stderr
    assert voxtune("logs", "lost").returncode == 2

    options = ("--data", "/nowhere/Blobs", "--runs", tmp_path / "runs", "--follow")
    followed = voxtune("submit", "sweep.yaml", *options)
    assert followed.returncode == 2
    assert "error: /nowhere/Blobs" in followed.stdout
    status = voxtune("status", "lost", "--address", head.url)
    assert re.search(r"^lost-\d+-\d+: failed with exit code 2$", status.stdout, re.MULTILINE)
    assert "error: /nowhere/Blobs" in status.stdout


def test_a_name_that_the_cluster_does_not_know(head: RayHead, voxtune: Voxtune) -> None:
    refused = voxtune("logs", "nothing")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: the cluster at {head.url} has no job of a sweep 'nothing'; it has ")
