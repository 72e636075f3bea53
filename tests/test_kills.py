"""A sweep whose driver is killed in the middle of writes, by the means of benchmarks/kills.py."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from kills import KilledSweep, repeated, repeated_too_much


@pytest.mark.ray
@pytest.mark.slow
def test_a_killed_sweep_loses_nothing(tmp_path):
    sweep = KilledSweep(tmp_path / "sweep", trials_at_once=2)
    for moment in ("study write", "checkpoint write"):
        assert sweep.kill_once(moment, delay=0.5)
    sweep.end()
    assert not +sweep.faults
    assert [kill["moment"] for kill in sweep.kills if kill["inside a write"]] == ["study write", "checkpoint write"]
    assert {trial.state.name for trial in sweep.trials()} == {"COMPLETE", "PRUNED"}
    assert not list(sweep.directory.root.rglob(".*.tmp"))
    assert not list(sweep.directory.checkpoints.glob("*/*/state_*.pt"))


@pytest.mark.parametrize(
    ("advances", "faults"),
    [
        ([(0, 100), (0, 300), (0, 900)], 0),
        ([(0, 100), (0, 300), (1, 300), (1, 900)], 0),  # the rung that the kill hit
        ([(0, 100), (0, 300), (1, 100), (1, 300)], 1),  # one that was done before it, too
        ([(0, 100), (0, 100)], 1),  # without a kill
    ],
)
def test_only_the_rung_that_a_kill_hits_may_be_repeated(advances, faults):
    assert repeated_too_much(advances) == faults


def test_repeated_rungs_are_counted():
    assert repeated({"a": [(0, 100), (0, 300)], "b": [(0, 100), (1, 100), (2, 100), (2, 300)]}) == 2
