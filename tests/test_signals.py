"""Signals that reach more than the driver: its group, or all of its processes. Real sweeps, each with its own Ray."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
import yaml

from tuner.directory import SweepDirectory
from tuner.results import read_results

pytestmark = [pytest.mark.ray, pytest.mark.slow]

T = TypeVar("T")

SWEEP = {
    "name": "toy",
    "trainable": "trainables.toy:ToyRun",
    "training": {"seconds_per_rung": 1.0},
    "space": {"learning_rate": {"float": [1e-5, 1e-1], "log": True}},
    "budget": {"unit": "steps", "maximum": 900},
    "search": {"trials": 4, "sampler": "random"},
    "confirm": {"top": 0},
}
VOXTUNE = (sys.executable, "-m", "tuner.cli")
LONGEST = 40
"""Seconds from a signal to the end of the driver, on a busy machine; without Ray it would hang for 60 and fail."""


@contextmanager
def running(
    folder: Path, *before: str, sweep: Mapping[str, Any] = SWEEP
) -> Iterator[tuple["subprocess.Popen[str]", list[psutil.Process]]]:
    """`voxtune run` in a group of its own, once a trial has reported, and all processes that it started by then."""
    (folder / "sweep.yaml").write_text(yaml.safe_dump(dict(sweep)))
    command = [*before, *VOXTUNE, "run", "sweep.yaml"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process: subprocess.Popen[str] = subprocess.Popen(command, cwd=folder, process_group=0, **pipes)
    family: list[psutil.Process] = []
    try:
        reported = '"op_code":8'  # an intermediate value
        journal = folder / "runs" / "toy" / "study.journal"
        while not (journal.is_file() and reported in journal.read_text()):
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.1)
        family = psutil.Process(process.pid).children(recursive=True)
        yield process, family
    finally:
        for one in [*family, process]:
            try:
                one.kill()
            except (psutil.NoSuchProcess, ProcessLookupError):
                continue
        process.communicate()


def left_by(process: "subprocess.Popen[str]", folder: Path, *, ray_ended: bool = False) -> None:
    """The driver ends in order, and soon, and leaves an honest study."""
    began = time.monotonic()
    output, errors = process.communicate(timeout=LONGEST + 40)
    assert process.returncode == 130, errors
    assert time.monotonic() - began < LONGEST
    if not ray_ended:
        assert output.endswith(f"Stopped. Nothing is lost; go on by: voxtune resume {folder}/runs/toy\n")
        assert (folder / "runs" / "toy" / "report" / "report.md").is_file()
    results = read_results(SweepDirectory.find("toy", folder / "runs"))
    assert "RUNNING" not in set(results.trials["state"])
    assert "INTERRUPTED" in set(results.trials["state"])


def ended(family: list[psutil.Process]) -> bool:
    """Whether all of these end within a minute; Ray's agents look after their parent now and then."""
    return not psutil.wait_procs(family, timeout=60)[1]


def of_each(family: list[psutil.Process], ask: Callable[[psutil.Process], T]) -> dict[int, T]:
    """By process id; of those that have not ended meanwhile: Ray ends idle workers."""
    answers = {}
    for one in family:
        with suppress(psutil.NoSuchProcess):
            answers[one.pid] = ask(one)
    assert answers
    return answers


def listening(family: list[psutil.Process]) -> set[str]:
    """The addresses at which these let themselves be asked."""
    found = of_each(family, lambda one: one.net_connections("inet"))
    sockets = [socket for connections in found.values() for socket in connections]
    return {one.laddr.ip.removeprefix("::ffff:") for one in sockets if one.status == psutil.CONN_LISTEN}


def test_timeout_ends_it_in_order_and_resume_goes_on(tmp_path: Path) -> None:
    with running(tmp_path, "timeout", "600") as (process, family):
        process.terminate()  # it then tells voxtune, and its whole group once more
        left_by(process, tmp_path)
        assert ended(family)
    resumed = subprocess.run([*VOXTUNE, "resume", "toy"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert resumed.returncode == 0, resumed.stderr
    trials = read_results(SweepDirectory.find("toy", tmp_path / "runs")).trials
    assert len(trials) == 4
    assert set(trials["state"]) <= {"COMPLETE", "PRUNED"}


def test_ctrl_c_reaches_the_group_too(tmp_path: Path) -> None:
    with running(tmp_path) as (process, family):
        os.killpg(process.pid, signal.SIGINT)
        left_by(process, tmp_path)
        assert ended(family)


def test_all_its_processes_are_told_at_once(tmp_path: Path) -> None:
    with running(tmp_path) as (process, family):
        for one in family:  # as `systemctl stop` and `scancel` do, by the control group
            one.terminate()
        process.terminate()
        left_by(process, tmp_path, ray_ended=True)
        assert ended(family)


def test_a_killed_driver_leaves_nothing_of_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"VOXTUNE_HOOK": "http://127.0.0.1:1/hunter2", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "hunter2" * 5}
    for name, secret in secrets.items():
        monkeypatch.setenv(name, secret)
    with running(tmp_path, sweep={**SWEEP, "on_end": "${VOXTUNE_HOOK}"}) as (process, family):
        names = of_each(family, psutil.Process.name)
        assert {"raylet", "gcs_server"} <= set(names.values())
        assert listening(family) == {"127.0.0.1"}  # nobody else on the network is let ask
        # What anybody on the machine may read: command lines; and what is sent along with a run.
        assert not [line for line in of_each(family, psutil.Process.cmdline).values() if "hunter2" in " ".join(line)]
        written = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
        assert len(written) > 3
        assert not [path for path in written if b"hunter2" in path.read_bytes()]
        agents = {pid for pid, name in names.items() if name in ("ray::DashboardAgent", "ray::RuntimeEnvAgent")}
        process.kill()
        process.communicate()
        # Ray's two agents of a node, however it is started, notice after minutes that it is gone.
        assert ended([one for one in family if one.pid not in agents])


def test_a_sweep_whose_raylet_is_killed_ends_and_says_so(tmp_path: Path) -> None:
    slow = {**SWEEP, "training": {"seconds_per_rung": 8.0}}
    with running(tmp_path, sweep=slow) as (process, family):
        (raylet,) = (one for one in family if one.name() == "raylet")
        raylet.kill()
        _, errors = process.communicate(timeout=150)  # 10 s between two looks, 30 until Ray itself has noticed
        assert process.returncode == 1, errors
        assert "(raylet) is gone, and no trial can be started; go on by `voxtune resume toy`" in errors
    assert "RUNNING" not in set(read_results(SweepDirectory.find("toy", tmp_path / "runs")).trials["state"])
