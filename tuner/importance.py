"""Which parameters decided how far a trial came, and which of them only seem to.

PED-ANOVA (Watanabe et al., "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces", IJCAI
2023) asks how much a parameter's values among the best trials differ from those among all trials. It needs an order of
the trials, not their values, so a trial stopped at a rung counts too: it stands below those that went on. Optuna's own
use of it takes finished trials only: of sixteen under early stopping that would be two or three.
"""

import logging
import warnings
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, create_trial

from tuner.results import Results

if TYPE_CHECKING:
    from optuna.importance import PedAnovaImportanceEvaluator

FEWEST_BEST = 5
"""PED-ANOVA wants as many among the best, says Optuna's documentation."""

FEWEST_TRIALS = 3 * FEWEST_BEST
SHUFFLES = 100


@dataclass(frozen=True, kw_only=True)
class Importance:
    """What `parameter_importance` found."""

    shares: dict[str, float]
    """Importance by parameter, highest first; they add up to 1."""

    chance: dict[str, float]
    """The share, on the same scale, that a parameter without any influence stays below 95 times in 100: the 95th
    percentile over random orders of the same trials."""

    trials: int
    best: int
    """How many of the trials were counted as the best."""

    @property
    def clear(self) -> list[str]:
        """The parameters whose share is larger than chance."""
        return [name for name, share in self.shares.items() if share > self.chance[name]]


def parameter_importance(results: Results) -> Importance | None:
    """The importance of each searched parameter; None with fewer than FEWEST_TRIALS ended, evaluated trials."""
    ordered = [
        results.sweep_trials[run.number]
        for run in results.standings
        if results.sweep_trials[run.number].state.is_finished()
    ]
    if len(ordered) < FEWEST_TRIALS:
        return None
    from optuna.importance import PedAnovaImportanceEvaluator  # and with it scikit-learn: seconds

    best = max(FEWEST_BEST, len(ordered) // 10)
    study = _study_of(ordered)
    evaluator = PedAnovaImportanceEvaluator(target_quantile=best / len(ordered))
    random = np.random.default_rng(0)
    measured = _divergences(study, evaluator, np.arange(len(ordered)))
    shuffled = [_divergences(study, evaluator, random.permutation(len(ordered))) for _ in range(SHUFFLES)]
    total = sum(measured.values()) or 1.0
    names = sorted(measured, key=lambda name: -measured[name])
    return Importance(
        shares={name: measured[name] / total for name in names},
        chance={name: float(np.quantile([one[name] for one in shuffled], 0.95)) / total for name in names},
        trials=len(ordered),
        best=best,
    )


def _study_of(trials: Sequence[FrozenTrial]) -> optuna.Study:
    """A study in memory of the trials' parameters, numbered by their order."""
    logger = logging.getLogger("optuna")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        study = optuna.create_study()
        study.add_trials(create_trial(params=t.params, distributions=t.distributions, value=0.0) for t in trials)
    finally:
        logger.setLevel(level)
    # PED-ANOVA groups trials by their distributions, again for each order of them; to compare and to hash these took
    # nine tenths of its time (1,000 trials). They are all the same, so one object will do, known by its identity.
    shared = {name: _known_by_identity(distribution) for name, distribution in trials[0].distributions.items()}
    for trial in study.get_trials(deepcopy=False):
        trial.distributions = {name: shared[name] for name in trial.distributions}
    return study


def _known_by_identity(distribution: BaseDistribution) -> BaseDistribution:
    """The same distribution, with Python's own hash in the place of one over all that it holds."""
    kind = type(distribution)
    same = copy(distribution)
    same.__class__ = type(kind.__name__, (kind,), {"__hash__": object.__hash__})
    return same


def _divergences(study: optuna.Study, evaluator: "PedAnovaImportanceEvaluator", places: np.ndarray) -> dict[str, float]:
    """How far each parameter's values among the best trials are from those among all; place 0 is the best."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", message=".*low `target` values")  # a low place is what we mean
        return optuna.importance.get_param_importances(
            study, evaluator=evaluator, target=lambda trial: float(places[trial.number]), normalize=False
        )
