"""What the trials of a study say, as arrays that a model can learn from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from optuna.trial import FrozenTrial, TrialState
from scipy.special import ndtri

from tuner.gaussian_process import Inputs
from tuner.rungs import FULL_BUDGET
from tuner.unit_cube import UnitCube

Array = np.ndarray

MOST_SCORES = 300
"""So many scores are learned from at most, the best and the newest: a process's time grows with their cube."""


@dataclass(frozen=True)
class Observed:
    """t trials, each with parameters, and s scores."""

    cube: UnitCube
    points: Array
    """(t, parameters)"""

    running: Array
    """(t,) whether it runs."""

    infeasible: Array
    """(t,) whether it ended without a score, or with too high a memory."""

    scores: Array
    """(s,) greater is better."""

    budgets: Array
    """(s,) ln(full budget / budget)"""

    of_row: Array
    """(s,) the row in `points` of the trial that reached it."""

    @classmethod
    def of(cls, trials: Sequence[FrozenTrial], cube: UnitCube, *, sign: int) -> "Observed":
        rows = [(row, step, score) for row, trial in enumerate(trials) for step, score in scores_of(trial).items()]
        if len(rows) > MOST_SCORES:
            best = set(sorted(rows, key=lambda row: -sign * row[2])[: MOST_SCORES * 2 // 3])
            newest = [row for row in rows if row not in best][-(MOST_SCORES - len(best)) :]
            rows = sorted(best | set(newest))
        of_row, steps, scores = zip(*rows, strict=True) if rows else ((), (), ())
        return cls(
            cube=cube,
            points=cube.points([trial.params for trial in trials]),
            running=np.array([trial.state == TrialState.RUNNING for trial in trials], bool),
            infeasible=np.array([_is_infeasible(trial) for trial in trials], bool),
            scores=sign * np.array(scores, float),
            budgets=np.log(FULL_BUDGET / np.array(steps, float)),
            of_row=np.array(of_row, int),
        )

    def scored(self) -> tuple[Inputs, Array]:
        """Each score, by its rank."""
        return self._inputs(self.points[self.of_row], self.budgets), _normal_scores(self.scores)

    def labelled(self) -> tuple[Inputs, Array]:
        """1 for a trial that has a score, -1 for one that gave none; one that has only begun is neither."""
        rows = np.union1d(np.flatnonzero(self.infeasible), self.of_row)
        return self.at_full_budget(self.points[rows]), np.where(self.infeasible[rows], -1.0, 1.0)

    def at_full_budget(self, points: Array) -> Inputs:
        return self._inputs(points, np.zeros(len(points)))

    def _inputs(self, points: Array, budgets: Array) -> Inputs:
        return Inputs(self.cube.columns(points), self.cube.parameter_of_column, budgets)


def scores_of(trial: FrozenTrial) -> dict[int, float]:
    """By step, what it reached; a trial from elsewhere may have its final score alone."""
    scores = trial.intermediate_values
    if not scores and trial.state == TrialState.COMPLETE:
        scores = {FULL_BUDGET: trial.values[0]}
    return {step: score for step, score in scores.items() if math.isfinite(score)}


def _is_infeasible(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL or any(violation > 0 for violation in trial.constraints.values())


def _normal_scores(scores: Array) -> Array:
    """Each score's rank as a quantile of the normal distribution: a few very bad ones count as bad, no more."""
    if not len(scores):
        return scores
    _, place, alike = np.unique(scores, return_inverse=True, return_counts=True)
    values = ndtri((np.cumsum(alike) - alike / 2) / len(scores))[place]
    return (values - values.mean()) / (values.std() or 1.0)
