"""The cells of batch size and patch size."""

import math
from typing import Any

import pytest
from make_sweep import SPACE, evaluation, open_study

from search_spaces.space import parse_space
from tuner.batch_patch import Cell, batch_patch_cells
from tuner.results import Results
from tuner.study import StopReason, SweepStudy


def tried(
    study: SweepStudy, batch: Any, patch: Any, *scores: float, reason: StopReason = "full budget", steps: tuple = ()
) -> None:
    study.enqueue({"batch_size": batch, "patch_size": patch})
    number = study.ask().number
    for step, score in zip(steps or (111, 333, 1000), scores, strict=False):
        study.report(number, step, evaluation(score, step))
    study.finish(number, reason)


@pytest.fixture
def rows() -> list[list[Cell]]:
    study = open_study()
    tried(study, 2, 32, 0.5, 0.7, 0.80)
    tried(study, 2, 32, 0.5, 0.7, 0.84)
    tried(study, 2, 32, 0.9, reason="stopped at rung")  # a low rung's score is no final one
    tried(study, 4, 32, 0.5, 0.72, reason="stopped at rung")
    tried(study, 4, 32, 0.6, reason="stopped at rung")
    tried(study, 4, "40x56x40", reason="turned away")
    tried(study, 4, "40x56x40", reason="turned away")
    tried(study, 4, "40x56x40", reason="out of memory")
    study.plan(9)
    return batch_patch_cells(Results.from_studies(study.optuna))


def test_a_row_a_batch_size_and_a_cell_a_patch_size(rows: list[list[Cell]]) -> None:
    assert [[(cell.batch, cell.patch) for cell in row] for row in rows] == [
        [(2, 32), (2, "40x56x40")],
        [(4, 32), (4, "40x56x40")],
    ]


def test_the_highest_budget_reached_counts(rows: list[list[Cell]]) -> None:
    finished, stopped = rows[0][0], rows[1][0]
    assert (finished.trials, finished.reached, finished.step) == (3, 2, 1000)
    assert (finished.best, finished.middle) == pytest.approx((0.84, 0.82))
    assert (stopped.trials, stopped.reached, stopped.step, stopped.best) == (2, 1, 333, 0.72)


def test_what_did_not_fit_is_counted_apart(rows: list[list[Cell]]) -> None:
    misfit, untried = rows[1][1], rows[0][1]
    assert (misfit.trials, misfit.turned_away, misfit.out_of_memory, misfit.misfits) == (0, 2, 1, 3)
    assert (untried.trials, untried.misfits, untried.step) == (0, 0, 0)
    assert math.isnan(untried.best)


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 2},
        {"patch_size": 32},
        {"batch_size": {"float": [1, 4]}},
        {"batch_size": {"choice": list(range(1, 14))}},
    ],
)
def test_no_cells_where_they_would_tell_nothing(changes: dict[str, Any]) -> None:
    study = open_study(space=parse_space({**SPACE, **changes}))
    number = study.ask().number
    study.report(number, 1000, evaluation(0.8, 1000))
    assert batch_patch_cells(Results.from_studies(study.optuna)) == []


def test_patches_stand_by_voxels() -> None:
    choices = [64, "160x160x16", "96x96x64", 128, 32, "own"]
    study = open_study(space=parse_space({**SPACE, "patch_size": {"choice": choices}}))
    tried(study, 2, 32, 0.5)
    (row, _) = batch_patch_cells(Results.from_studies(study.optuna))
    assert [cell.patch for cell in row] == [32, 64, "160x160x16", "96x96x64", 128, "own"]
