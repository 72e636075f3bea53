"""Sweeps that something happens to, by the means of benchmarks/chaos.py: a few of its faults, and that it can fail."""

import json
import random
import sys
from pathlib import Path

import pytest
from make_sweep import open_study, play, sweep_directory

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import chaos
from faults import invariants
from faults.all_faults import FAULTS
from faults.fault import Struck
from faults.ledger import add_run, counted, read_runs, table
from faults.places import Place
from faults.sweeps import TRIALS, FaultSweep

from tuner.storage import open_storage

BY_NAME = {fault.name: fault for fault in FAULTS}


@pytest.mark.ray
@pytest.mark.slow
def test_a_toy_sweep_survives_a_truncated_checkpoint(tmp_path: Path, running_ray: str) -> None:
    bench = chaos.Bench(tmp_path, tmp_path / "scores.json", phantom=False)
    place = Place(name="running Ray", address=("--address", running_ray))
    bench.places = dict.fromkeys(bench.places, place)
    found = bench.run(3, 0, BY_NAME["checkpoint truncated"], kind="toy")
    if found["outcome"] == "not struck":
        pytest.skip(f"on a machine as busy as this one the fault came too late: {found['problems']}")
    assert not found["problems"]
    assert found["outcome"] in ("went on by itself", "resumed")
    assert found["proof"]["training at the strike"]


def test_every_fault_has_its_turn_before_any_has_its_second() -> None:
    order = [chaos.fault_of(5, number).name for number in range(2 * len(FAULTS))]
    assert set(order[: len(FAULTS)]) == set(order[len(FAULTS) :]) == set(BY_NAME)
    assert order == [chaos.fault_of(5, number).name for number in range(2 * len(FAULTS))]
    assert order != [chaos.fault_of(6, number).name for number in range(2 * len(FAULTS))]


@pytest.fixture
def sweep(tmp_path: Path) -> FaultSweep:
    directory = sweep_directory(tmp_path / "runs" / "broken", trials=TRIALS["toy"])
    study = open_study(open_storage(None, directory.journal, owner=True))
    play(study, TRIALS["toy"])
    ended = FaultSweep(place=Place(), kind="toy", shared=tmp_path, work=tmp_path)
    ended.study = study
    return ended


def problems(sweep: FaultSweep, name: str = "trial killed", scores: dict[str, float] | None = None) -> str:
    return "; ".join(invariants.broken(sweep, BY_NAME[name], {} if scores is None else scores))


def advance(sweep: FaultSweep, number: int, *budgets: float, pid: int = 0) -> None:
    trial = json.dumps(sweep.parameters(sweep.trials()[number]), sort_keys=True)
    with (sweep.shared / "advances.jsonl").open("a") as file:
        for budget in budgets:
            entry = {"what": "begin", "trial": trial, "budget": budget, "pid": pid, "node": "here", "time": 0.0}
            file.write(json.dumps(entry) + "\n")


def test_a_sweep_that_went_as_it_should_breaks_nothing(sweep: FaultSweep) -> None:
    assert problems(sweep) == ""


def test_a_trial_that_is_left_running(sweep: FaultSweep) -> None:
    sweep.study.ask()
    found = problems(sweep)
    assert f"{TRIALS['toy'] + 1} trials instead of {TRIALS['toy']}" in found
    assert f"trial {TRIALS['toy']} is left RUNNING" in found


def test_a_trial_that_failed(sweep: FaultSweep) -> None:
    number = sweep.study.ask().number
    sweep.study.finish(number, "error", error="a bug")
    assert f"trial {number} failed: a bug" in problems(sweep)
    assert f"trial {number} failed" in problems(sweep, "NaN loss")  # nor is it the one that was struck


def test_an_ended_trial_that_was_changed(sweep: FaultSweep) -> None:
    sweep.compare()
    sweep.finished[0].intermediate_values[111] = 0.0
    sweep.compare()
    assert "trials [0] had ended and were changed" in problems(sweep)


def test_a_rung_that_was_trained_twice(sweep: FaultSweep) -> None:
    advance(sweep, 0, 100, 300, 900)
    assert problems(sweep) == ""
    advance(sweep, 0, 900)
    assert "trial 0 began its rungs" in problems(sweep)


def test_a_score_that_differs_from_another_run_s(sweep: FaultSweep) -> None:
    scores: dict[str, float] = {}
    assert problems(sweep, scores=scores) == ""
    assert problems(sweep, scores=scores) == ""
    scores[next(iter(scores))] += 1e-9
    assert "in another run it had" in problems(sweep, scores=scores)


def test_what_a_killed_process_leaves(sweep: FaultSweep) -> None:
    folder = sweep.directory.checkpoints / "sweep_0001" / "attempt_1"
    folder.mkdir(parents=True)
    (folder / ".state_0333.pt.7.tmp").touch()
    (folder / "state_0111.pt").touch()
    found = problems(sweep)
    assert ".state_0333.pt.7.tmp" in found
    assert "states of trials that have ended: ['state_0111.pt']" in found


def test_a_report_that_can_not_be_made(sweep: FaultSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(directory: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(invariants, "write_report", fail)
    assert "no report can be made: RuntimeError: a bug" in problems(sweep)


def test_runs_are_counted_once_and_summed(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "runs.jsonl"
    for run, outcome in ((0, "not struck"), (1, "broken"), (0, "resumed")):
        add_run(file, {"seed": 1, "run": run, "fault": "trial killed", "outcome": outcome})
    runs = counted(read_runs(file))
    assert len(runs) == 2
    lines = table(runs, ["trial killed", "NaN loss"]).splitlines()
    assert lines[2] == "| trial killed | 2 |  | 1 |  | 1 |  |"
    assert lines[3] == "| NaN loss | 0 |  |  |  |  |  |"
    assert lines[4] == "| all | 2 |  | 1 |  | 1 |  |"


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    struck = Struck(FaultSweep(place=Place(), kind="toy", shared=tmp_path, work=tmp_path), random.Random(0))
    try:
        BY_NAME["disk full: study"].prepare(struck)
    except Exception as error:
        pytest.skip(f"no right to mount a disk: {error}")
    assert struck.disk
    try:
        assert struck.disk.fill() == 48 * 2**20
        with pytest.raises(OSError, match="No space left"):
            (struck.disk.root / "more").write_bytes(b"more")
        BY_NAME["disk full: study"].mend(struck)
        (struck.disk.root / "more").write_bytes(b"more")
    finally:
        struck.disk.end()
