"""What became of each batch size with each patch size: how good, how often tried, what did not fit in memory."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from statistics import median
from typing import Any

from optuna.trial import FrozenTrial

from search_spaces.parameters import Choice, Int
from tuner.best import Run
from tuner.endings import MISFIT, ending
from tuner.results import Results

BATCH, PATCH = "batch_size", "patch_size"

MOST_VALUES = 12
"""Of either; with more a table of them tells nothing."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """All configurations of a sweep with one batch size and one patch size."""

    batch: Any
    patch: Any
    trials: int
    """How many were begun and evaluated."""

    step: int
    """The highest budget that any of them was evaluated at, in thousandths of the full one; 0 if none was."""

    best: float
    """Highest Dice at that budget, NaN without any."""

    middle: float
    """Median Dice there."""

    reached: int
    """How many of them came so far."""

    turned_away: int
    """Configurations that were not begun because their estimated memory does not fit."""

    out_of_memory: int
    """Trials that ran out of memory."""

    @property
    def misfits(self) -> int:
        return self.turned_away + self.out_of_memory


def batch_patch_cells(results: Results) -> list[list[Cell]]:
    """A row a batch size, ascending, and in it a cell a patch size, by voxels ascending.

    Empty where not both are searched as whole numbers or choices, nothing was tried, or there are too many values.
    """
    searched = results.space.searched
    if not all(isinstance(searched.get(name), Choice | Int) for name in (BATCH, PATCH)):
        return []
    by_cell: dict[tuple[Any, Any], list[FrozenTrial]] = {}
    for trial in results.sweep_trials:
        if trial.params.keys() >= {BATCH, PATCH}:
            by_cell.setdefault((trial.params[BATCH], trial.params[PATCH]), []).append(trial)
    batches, patches = (
        _values(results, name, {cell[place] for cell in by_cell}) for place, name in enumerate((BATCH, PATCH))
    )
    if not by_cell or max(len(batches), len(patches)) > MOST_VALUES:
        return []
    cells = {key: _cell(*key, by_cell.get(key, [])) for key in product(batches, patches)}
    if not any(cell.trials or cell.misfits for cell in cells.values()):
        return []
    return [[cells[batch, patch] for patch in patches] for batch in batches]


def _values(results: Results, name: str, tried: Iterable[Any]) -> list[Any]:
    """All choices, or those of a range that were tried."""
    parameter = results.space.searched[name]
    return sorted(parameter.values if isinstance(parameter, Choice) else tried, key=_voxels)


def _voxels(size: Any) -> tuple[float, str]:
    """An order of sizes: `40x56x40` by its voxels among cubes, which are given by their side, and among batches."""
    sides = str(size).split("x")
    if not all(side.isdecimal() for side in sides):
        return math.inf, str(size)
    return math.prod(map(int, sides)) ** (1 / len(sides)), str(size)


def _cell(batch: Any, patch: Any, trials: Iterable[FrozenTrial]) -> Cell:
    trials = list(trials)
    runs = [Run.of("sweep", trial) for trial in trials if ending(trial) != MISFIT]
    runs = [run for run in runs if math.isfinite(run.score)]
    step = max((run.step for run in runs), default=0)
    furthest = [run.score for run in runs if run.step == step]
    away = sum(trial.user_attrs.get("stop_reason") == "turned away" for trial in trials)
    return Cell(
        batch=batch,
        patch=patch,
        trials=len(runs),
        step=step,
        best=max(furthest, default=math.nan),
        middle=median(furthest) if furthest else math.nan,
        reached=len(furthest),
        turned_away=away,
        out_of_memory=sum(ending(trial) == MISFIT for trial in trials) - away,
    )
