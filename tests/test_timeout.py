"""A trial that falls silent: when that is, and what becomes of it and of its slot."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from make_sweep import TOY_SWEEP
from optuna.trial import FrozenTrial, TrialState

from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.errors import SweepConfigError
from tuner.process import Process
from tuner.results import read_results
from tuner.silence import AUTO_MINUTES, Beat, Sign, Silences


def beat(count: int, *, calls: int = 1, working: bool = True, progress: object = None, actor: str = "a") -> Beat:
    sign = Sign(number=0, calls=calls, working=working, progress=progress)
    return Beat(actor=actor, node_id="n", process=Process.current(), count=count, sign=sign)


def overdue(timeout: object, beats: Iterator[Beat] | list[Beat], *, listened: float = 10.0) -> list[int]:
    """After which of these beats of one slot it counted as silent for too long."""
    silences = Silences(timeout)
    return [index for index, each in enumerate(beats) if silences.hear([each], listened=listened)]


def test_a_process_from_which_nothing_comes_is_overdue_each_timeout() -> None:
    assert overdue(1, [beat(0)] * 20) == [6, 12, 18]  # a minute is six times ten seconds


def test_a_trial_that_works_and_gets_nowhere_is_overdue() -> None:
    assert overdue(1, [beat(count) for count in range(8)]) == [6]


@pytest.mark.parametrize("change", ["progress", "calls"])
def test_whatever_changes_is_a_sign_of_life(change: str) -> None:
    assert overdue(1, [beat(count, **{change: count // 5}) for count in range(60)]) == []


def test_a_slot_that_waits_for_the_driver_is_not_overdue() -> None:
    assert overdue(1, [beat(count, working=False) for count in range(60)]) == []


def test_auto_ends_no_trial_that_does_not_tell_its_progress() -> None:
    steps = int(AUTO_MINUTES * 6)
    assert overdue("auto", [beat(count) for count in range(2 * steps)]) == []
    assert overdue("auto", [beat(count, progress=(3, 0)) for count in range(steps + 1)]) == [steps]
    assert overdue("auto", [beat(0)] * (steps + 1)) == [steps]


def test_one_slot_s_signs_are_not_another_s() -> None:
    silences = Silences(1)
    found = [silences.hear([beat(0, actor="a"), beat(n, calls=n, actor="b")], listened=30) for n in range(3)]
    assert [[each.actor for each in late] for late in found] == [[], [], ["a"]]


@pytest.mark.parametrize("value", [0, -3, "soon"])
def test_a_timeout_that_is_none_is_named(tmp_path: Path, value: object) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump({**TOY_SWEEP, "resources": {"trial_timeout": value}}))
    with pytest.raises(SweepConfigError, match=r"resources\.trial_timeout"):
        SweepConfig.read(file)


def run(folder: Path, address: str, **changes: object) -> subprocess.Popen[str]:
    (folder / "sweep.yaml").write_text(yaml.safe_dump({**TOY_SWEEP, **changes}))
    command = [sys.executable, "-m", "tuner.cli", "run", "sweep.yaml", "--address", address]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def trials(folder: Path) -> list[FrozenTrial]:
    return list(read_results(SweepDirectory(folder / "runs" / "toy")).sweep_trials)


@pytest.mark.ray
@pytest.mark.slow
def test_a_hanging_trial_has_failed_when_it_hung_twice(tmp_path: Path, running_ray: str) -> None:
    driver = run(
        tmp_path,
        running_ray,
        space={"learning_rate": {"float": [1e-5, 1e-1], "log": True}, "fail_at": {"choice": [0.2, 2.0]}},
        training={"fail_with": "hang"},
        default={"learning_rate": 1e-3, "fail_at": 0.2},
        search={"trials": 3, "sampler": "random", "stop_early": False, "seed": 1},
        resources={"trial_timeout": 0.1},
    )
    output, _ = driver.communicate(timeout=240)
    assert driver.returncode == 0, output
    hung, *others = trials(tmp_path)
    assert [trial.state for trial in others] == [
        TrialState.FAIL if trial.params["fail_at"] == 0.2 else TrialState.COMPLETE for trial in others
    ]
    assert hung.state == TrialState.FAIL
    attributes = {name: hung.user_attrs[name] for name in ("stop_reason", "attempt", "lost", "timed_out")}
    assert attributes == {"stop_reason": "timed out", "attempt": 2, "lost": 1, "timed_out": 1}
    assert re.match(
        r"no sign of life for 0\.1 minutes \(resources\.trial_timeout\); process \d+ on ", hung.user_attrs["error"]
    )
    assert list(hung.intermediate_values) == [111]
    log = SweepDirectory(tmp_path / "runs" / "toy").trial_log("sweep", 0).read_text()
    assert "threading.Event().wait()" in log  # the line in which it hung
    assert "goes on in another process: no sign of life" in log
    assert " trial 0: timed out: no sign of life" in log


@pytest.mark.ray
@pytest.mark.slow
def test_a_stopped_process_is_ended_and_its_trial_goes_on(tmp_path: Path, running_ray: str) -> None:
    driver = run(
        tmp_path,
        running_ray,
        training={"seconds_per_rung": 1.0},
        search={"trials": 3, "stop_early": False},
        resources={"trial_timeout": 0.1},
    )
    try:
        end = time.monotonic() + 120
        while not (running := reported(tmp_path)):
            assert driver.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        pid = running[0].user_attrs["stints"][-1]["pid"]
        os.kill(pid, signal.SIGSTOP)
        output, _ = driver.communicate(timeout=240)
    finally:
        driver.kill()
    assert driver.returncode == 0, output
    assert [trial.state for trial in trials(tmp_path)] == [TrialState.COMPLETE] * 3
    (lost,) = (trial for trial in trials(tmp_path) if "timed_out" in trial.user_attrs)
    assert lost.user_attrs["stints"][-1]["pid"] != pid
    assert [evaluation["step"] for evaluation in lost.user_attrs["evaluations"]] == [111, 333, 1000]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def reported(folder: Path) -> list[FrozenTrial]:
    """The running trials that have reported."""
    try:
        return [trial for trial in trials(folder) if trial.state == TrialState.RUNNING and trial.intermediate_values]
    except ValueError:  # not begun
        return []
