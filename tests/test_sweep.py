"""Whole sweeps of toy runs on a real local Ray: what the study, the directory and the results hold afterwards."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from cluster.errors import ClusterError
from tuner import search
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.errors import StudyError, SweepDirectoryError, SweepFailed
from tuner.gate import Gate
from tuner.results import read_results
from tuner.sweep import resume_sweep, run_sweep
from tuner.utilisation import stints

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TOY = {
    "name": "toy",
    "trainable": "trainables.toy:ToyRun",
    "space": {
        "learning_rate": {"float": [1e-5, 1e-1], "log": True},
        "batch_size": {"choice": [1, 2, 4, 8]},
    },
    "default": {"learning_rate": 1e-2, "batch_size": 2},
    "budget": {"unit": "steps", "maximum": 900},
    "search": {"trials": 10},
    "confirm": {"top": 2, "seeds": 2},
}


ONE_SLOT = {"trials_at_once": 1}
"""Where it is of no account how many there are: each is a process that takes seconds to come up."""


def toy(**changes) -> SweepConfig:
    return SweepConfig.model_validate({**TOY, **changes})


def test_sweep_confirms_resumes_with_more_trials_reports_and_starts_another(tmp_path, running_ray):
    results = run_sweep(toy(), runs=tmp_path)
    directory = SweepDirectory.find("toy", runs=tmp_path)

    trials = results.trials
    assert len(trials) == 10
    assert trials["state"].isin(["COMPLETE", "PRUNED"]).all()
    assert trials["stop_reason"].isin(["full budget", "stopped at rung"]).all()
    assert trials.loc[0, ["learning_rate", "batch_size"]].tolist() == [1e-2, 2]  # the default comes first
    assert {"COMPLETE", "PRUNED"} == set(trials["state"])
    assert results.curves.groupby("number")["step"].max().isin([111, 333, 1000]).all()
    assert set(stints(results.sweep_trials)["slot"]) == {0, 1}  # both are open before the first trial begins

    confirmed = results.confirmed
    complete = trials[trials["state"] == "COMPLETE"].sort_values("score", ascending=False)
    assert set(confirmed["config"]) == set(complete["number"][:2])
    assert sorted(confirmed["seed"].unique()) == [0, 1, 2]
    assert results.best.basis == "confirmed"

    assert yaml.safe_load(directory.best_config.read_text())["parameters"]["batch_size"] in (1, 2, 4, 8)
    assert (directory.report / "report.md").is_file()
    assert SweepConfig.read(directory.sweep_file).space == TOY["space"]
    environment = json.loads(directory.environment_file.read_text())
    assert environment["libraries"]["ray"]

    with pytest.raises(SweepDirectoryError, match="exists already"):
        run_sweep(toy(), runs=tmp_path)

    more = resume_sweep(directory, trials=14, address=running_ray)
    assert len(more.trials) == 14
    before = trials.set_index("number")["score"]
    assert more.trials.set_index("number")["score"][:10].equals(before)  # finished trials are kept, not repeated

    next_sweep = toy(name="next", search={"trials": 6}, confirm={"top": 0})
    following = run_sweep(next_sweep, runs=tmp_path, earlier=[directory], address=running_ray)
    trials = following.trials.set_index("number")
    assert list(trials.index) == list(range(6))
    assert trials["origin"].notna().tolist() == [True] * 4 + [False] * 2
    assert trials.loc[0, "origin"] == "default"
    assert trials.loc[1, "origin"] == f"toy:{more.best.number}"
    assert trials.loc[1, "learning_rate"] == more.sweep_trials[more.best.number].params["learning_rate"]


def test_failures_are_recorded_and_the_sweep_goes_on(tmp_path, running_ray, monkeypatch):
    # As on a busy machine, where the second slot comes up late: the first is free again long before.
    monkeypatch.setattr(search, "Gate", partial(Gate, patience=0.0))
    space = {**TOY["space"], "fail_at": {"choice": [0.2, 2.0]}, "fail_with": {"choice": ["nan", "bug"]}}
    default = {**TOY["default"], "fail_at": 0.2, "fail_with": "bug"}
    results = run_sweep(toy(space=space, default=default, confirm={"top": 0}), runs=tmp_path, address=running_ray)
    trials = results.trials
    assert trials.loc[0, "state"] == "FAIL"
    assert "a bug in the toy run" in trials.loc[0, "error"]
    assert "Traceback" in trials.loc[0, "error"]
    assert (trials["state"] == "COMPLETE").any()
    log = SweepDirectory.find("toy", runs=tmp_path).trial_log("sweep", 0).read_text()
    assert re.search(r" trial 0: taken up by slot [12] of toy on .*learning_rate 0.01", log)
    assert "trial 0: failed: Traceback" in log
    assert "RuntimeError: a bug in the toy run" in log
    assert log.endswith(" trial 0: error\n")
    # A failed trial leaves its actor alive: no more than two processes served all trials.
    ran = stints(results.sweep_trials)
    assert set(ran["slot"]) <= {0, 1}
    # The trial whose slot is late waits for it while there are others to run.
    (late,) = ran.index[ran["number"] == 1 - ran.loc[0, "number"]]
    assert ran.loc[late, "slot"] == 1 or late == ran.index[-1]


def test_a_trial_whose_process_is_killed_goes_on_in_another(tmp_path, running_ray):
    file = tmp_path / "sweep.yaml"
    slow = {**TOY, "training": {"seconds_per_rung": 1.0}, "search": {"trials": 4, "stop_early": False}}
    file.write_text(yaml.safe_dump({**slow, "confirm": {"top": 0}}))
    command = [sys.executable, "-m", "tuner.cli", "run", str(file), "--runs", str(tmp_path / "runs")]
    with subprocess.Popen([*command, "--address", running_ray], stdout=subprocess.DEVNULL) as process:
        directory = SweepDirectory(tmp_path / "runs" / "toy")
        wait_for(lambda: evaluations(directory) >= 1, process)
        running = [trial for trial in read_results(directory).sweep_trials if trial.user_attrs.get("stints")]
        os.kill(running[0].user_attrs["stints"][0]["pid"], signal.SIGKILL)
        assert process.wait(timeout=120) == 0
    trials = read_results(directory).sweep_trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    log = directory.trial_log("sweep", running[0].number).read_text()
    assert " goes on in another process: the trial's process was lost: " in log
    assert re.search(r": taken up again \(attempt 2\) by slot \d of toy on ", log)
    (lost,) = (trial for trial in trials if "lost" in trial.user_attrs)
    assert (lost.number, lost.user_attrs["lost"], lost.user_attrs["attempt"]) == (running[0].number, 1, 2)
    assert lost.user_attrs["checkpoint"] == f"sweep_{lost.number:04}/attempt_2"
    assert [evaluation["step"] for evaluation in lost.user_attrs["evaluations"]] == [111, 333, 1000]


def test_a_trial_that_kills_its_process_every_time_has_failed(tmp_path, running_ray):
    space = {**TOY["space"], "fail_at": {"choice": [0.2, 2.0]}}
    config = toy(
        space=space,
        default={**TOY["default"], "fail_at": 0.2},
        training={"fail_with": "kill"},
        search={"trials": 4, "sampler": "random", "stop_early": False},
        confirm={"top": 0},
    )
    trials = run_sweep(config, runs=tmp_path, address=running_ray).trials
    assert len(trials) == 4
    assert trials.loc[0, "state"] == "FAIL"
    assert "the trial's process was lost" in trials.loc[0, "error"]
    assert (trials["state"] == "FAIL").tolist() == (trials["fail_at"] == 0.2).tolist()


def test_sweep_without_any_result_says_why(tmp_path, running_ray):
    config = toy(training={"fail_at": 0.0}, search={"trials": 2}, resources=ONE_SLOT)
    with pytest.raises(SweepFailed, match=r"no trial gave a result; the first error: .*nan at 11% of the budget"):
        run_sweep(config, runs=tmp_path, address=running_ray)
    directory = SweepDirectory.find("toy", runs=tmp_path)
    assert (directory.report / "report.md").is_file()


def test_database_holds_each_sweep_by_its_name(tmp_path, running_ray):
    url = f"sqlite:///{tmp_path}/studies.db"
    config = toy(storage=url, search={"trials": 2}, confirm={"top": 0}, resources=ONE_SLOT)
    results = run_sweep(config, runs=tmp_path, address=running_ray)
    assert len(results.trials) == 2
    assert optuna.get_all_study_names(url) == ["toy/sweep"]
    with pytest.raises(StudyError, match=r"holds a study 'toy/sweep' already; choose another --name"):
        run_sweep(config, runs=tmp_path / "elsewhere")


def test_a_trial_too_large_for_the_cluster_leaves_no_directory(tmp_path, running_ray):
    with pytest.raises(ClusterError, match="asks for 999 CPU"):
        run_sweep(toy(resources={"cpus_per_trial": 999}), runs=tmp_path, address=running_ray)
    assert not (tmp_path / "toy").exists()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 160 KiB, which a sweep of 30 trials fills."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no right to mount a disk: {mounted.stderr}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_loses_nothing(tmp_path, small_disk, running_ray):
    file = tmp_path / "sweep.yaml"
    many = {**TOY, "search": {"trials": 30}, "confirm": {"top": 0}, "resources": ONE_SLOT}
    file.write_text(yaml.safe_dump(many))
    where = ["--runs", str(small_disk), "--address", running_ray]
    command = [sys.executable, "-m", "tuner.cli", "run", str(file), *where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    directory = SweepDirectory(small_disk / "toy")
    assert done.returncode == 1
    assert "study.journal can't be written: the disk is full" in done.stderr
    assert f"voxtune resume {directory.root}" in done.stderr
    assert "Traceback" not in done.stderr
    before = read_results(directory).sweep_trials
    assert 0 < sum(trial.state.is_finished() for trial in before) < 30

    subprocess.run(["mount", "-o", "remount,size=50m", small_disk], check=True)
    results = resume_sweep(directory, address=running_ray)
    assert len(results.trials) == 30
    assert results.trials["state"].isin(["COMPLETE", "PRUNED"]).all()
    for trial in before:
        if trial.state.is_finished():
            assert results.sweep_trials[trial.number] == trial


def test_interrupted_sweep_goes_on_where_it_was(tmp_path, running_ray):
    """By SIGTERM, which becomes Ctrl-C's SIGINT. For one that is killed see test_chaos.py."""
    file = tmp_path / "sweep.yaml"
    slow = {**TOY, "training": {"seconds_per_rung": 1.0}, "search": {"trials": 6}}
    slow |= {"confirm": {"top": 0}, "resources": ONE_SLOT}
    file.write_text(yaml.safe_dump(slow))
    command = [sys.executable, "-m", "tuner.cli", "run", str(file), "--runs", str(tmp_path / "runs")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        directory = SweepDirectory(tmp_path / "runs" / "toy")
        wait_for(lambda: evaluations(directory) >= 3, process)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    assert "voxtune resume" in output
    assert process.returncode == 130
    before = read_results(directory)
    assert TrialState.RUNNING not in [trial.state for trial in before.sweep_trials]
    results = resume_sweep(directory, address=running_ray)
    assert len(results.trials) == 6
    assert results.trials["state"].isin(["COMPLETE", "PRUNED"]).all()
    for trial in before.sweep_trials:  # nothing that was reported is lost
        after = results.sweep_trials[trial.number]
        assert trial.intermediate_values.items() <= after.intermediate_values.items()
        assert trial.params.items() <= after.params.items()  # none, if it was only planned


def evaluations(directory: SweepDirectory) -> int:
    try:
        return len(read_results(directory).curves)
    except ValueError:  # not begun
        return 0


def wait_for(condition, process: subprocess.Popen, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.2)
