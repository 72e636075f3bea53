"""Proposes trials by a Gaussian process that learns from every rung and asks for what is best at the full budget.

A multi-fidelity Gaussian process: a score at a low rung counts as much as scores there have foretold those at the full
budget so far. So a search under ASHA, where most trials are stopped, learns from the stopped ones too without taking
their low-budget scores for final ones. Expected improvement is taken at the full budget; trials that run count as if
what is expected of them had come (Ginsbourger et al. 2010), so that many workers get different ones. Trials that gave
no score (out of memory, turned away, failed) teach a second process where a configuration can be trained at all, and
expected improvement is weighed by that probability (Gardner et al., "Bayesian Optimization with Inequality
Constraints", ICML 2014).
"""

import math
from collections.abc import Set
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from scipy.special import ndtr
from threadpoolctl import ThreadpoolController

from tuner.gaussian_process import GaussianProcess, Hyperparameters, Inputs, fit
from tuner.observed import Observed, scores_of
from tuner.unit_cube import UnitCube

Array = np.ndarray

FITTED_ON = 150
"""Hyperparameters are found on so many scores at most."""

LEAST_CHANCE = 0.8
"""A configuration is only proposed if it can probably be trained, since the gain often grows towards what can't be."""

BEST_KEPT = 5
"""Half of the candidates lie near configurations that are among so many best by score or by prediction."""


@dataclass(frozen=True, kw_only=True)
class Fits:
    """Hyperparameters of the two processes."""

    scores: Hyperparameters
    feasible: Hyperparameters


class RungGPSampler(BaseSampler):
    """Makes one proposal and is thrown away: all that it knows is in the study.

    Until `n_startup_trials` trials have ended with a score, trials are drawn at random.
    """

    def __init__(
        self,
        *,
        seed: int,
        n_startup_trials: int = 10,
        n_candidates: int = 600,
        fits: dict[int, Fits] | None = None,
    ) -> None:
        """
        Args:
            n_candidates: among so many configurations the proposal is chosen.
            fits: where samplers of the same study share hyperparameters, which are found anew only every few trials.

        Raises ValueError if a number makes no sense.
        """
        for name, number, least in (("n_startup_trials", n_startup_trials, 0), ("n_candidates", n_candidates, 2)):
            if not isinstance(number, int) or number < least:
                raise ValueError(f"{name} must be a whole number of at least {least}; got {number!r}")
        self._rng = np.random.default_rng(seed)
        self._random = RandomSampler(seed=seed)
        self._n_startup_trials = n_startup_trials
        self._n_candidates = n_candidates
        self._fits = {} if fits is None else fits

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        if len(study.directions) > 1:
            raise ValueError("gp learns from one score a trial, and this study has several objectives")
        ended = [known for known in study.get_trials(deepcopy=False) if known.state.is_finished() and scores_of(known)]
        if len(ended) < max(1, self._n_startup_trials):
            return {}
        space = ended[-1].distributions  # a sweep has one space
        return {name: distribution for name, distribution in space.items() if not distribution.single()}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space:
            return {}
        # Threads only hinder one another on matrices this small, above all where trials keep all cores busy.
        with _thread_pools().limit(limits=1, user_api="blas"):
            return self._proposal(study, trial.number, UnitCube(search_space), search_space.keys())

    def _proposal(self, study: optuna.Study, number: int, cube: UnitCube, names: Set[str]) -> dict[str, Any]:
        others = [t for t in study.get_trials(deepcopy=False) if t.number != number and names <= t.params.keys()]
        sign = -1 if study.direction == StudyDirection.MINIMIZE else 1
        known = Observed.of(others, cube, sign=sign)
        first = _first_of_block(number)
        fits = self._fits.get(first)
        if fits is None:
            before = Observed.of([other for other in others if other.number < first], cube, sign=sign)
            fits = self._fits[first] = Fits(scores=_fitted(*before.scored()), feasible=_fitted(*before.labelled()))
        return cube.parameters(self._best_candidate(known, fits))

    def _best_candidate(self, known: Observed, fits: Fits) -> Array:
        process = GaussianProcess(fits.scores, *known.scored())
        seen = np.unique(known.of_row)
        expected, _ = process.predict(known.at_full_budget(known.points[seen]))
        if known.running.any():
            process = process.believing(known.at_full_budget(known.points[known.running]))
        best = known.of_row[np.argsort(-known.scores, kind="stable")[:BEST_KEPT]]
        best_expected = seen[np.argsort(-expected, kind="stable")[:BEST_KEPT]]
        candidates = self._candidates(known, known.points[np.concatenate([best, best_expected])])
        asked = known.at_full_budget(candidates)
        mean, deviation = process.predict(asked)
        gain = _expected_improvement(mean, deviation, over=float(expected.max()))
        if known.infeasible.any():
            mean, deviation = GaussianProcess(fits.feasible, *known.labelled()).predict(asked)
            chance = ndtr(mean / deviation)
            gain = np.where(chance >= LEAST_CHANCE, gain * chance, chance - 1)  # the likeliest where none is likely
        return candidates[np.argmax(gain)]

    def _candidates(self, known: Observed, best: Array) -> Array:
        """Half anywhere, half near the best; none that is in the study, as long as there is another."""
        half = self._n_candidates // 2
        centres = best[self._rng.integers(len(best), size=half)]
        anywhere = known.cube.draw(self._rng, self._n_candidates - half)
        candidates = np.vstack([anywhere, known.cube.near(self._rng, centres)])
        tried = {point.tobytes() for point in known.points.round(9)}
        new = [point.tobytes() not in tried for point in candidates.round(9)]
        return candidates[new] if any(new) else candidates


@cache
def _thread_pools() -> ThreadpoolController:
    """Found once: looking through a process's libraries takes longer than half a proposal."""
    return ThreadpoolController()


def _fitted(inputs: Inputs, values: Array) -> Hyperparameters:
    if len(values) > FITTED_ON:  # the best third, and others evenly through the rest
        ranked = np.argsort(-values, kind="stable")
        best, rest = ranked[: FITTED_ON // 3], ranked[FITTED_ON // 3 :]
        rows = np.concatenate([best, rest[:: math.ceil(len(rest) / (FITTED_ON - len(best)))]])
        inputs, values = inputs[rows], values[rows]
    return fit(inputs, values)


def _expected_improvement(mean: Array, deviation: Array, *, over: float) -> Array:
    """Of a normal variable over a level (Jones et al. 1998, eq. 15)."""
    z = (mean - over) / deviation
    return deviation * (z * ndtr(z) + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi))


def _first_of_block(number: int) -> int:
    """The first trial of those that share hyperparameters with trial `number`: each has its own at first, then 8.

    Found on the trials before that one, they are the same for a driver that begins in the middle of a block: with one
    worker all of those have ended.
    """
    return number if number < 32 else number - number % 8
