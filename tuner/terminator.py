"""Whether more trials are worth it: what could still be gained, against what luck alone moves.

After Makarova et al., "Automatic Termination for Hyperparameter Optimization" (AutoML 2022), as Optuna's terminator
does it: a Gaussian process over the finished trials bounds by how much the best configuration of the space may exceed
the best one found, and a search is over when that bound is lower than the error with which a Dice is known. Optuna's
other bound, `EMMREvaluator`, is in units of the trials' spread and moved by tenths from trial to trial on our made-up
sweeps, so it says nothing in Dice; its `Terminator` itself is deprecated, and it is only a comparison.
"""

import math
import warnings
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, variance
from typing import Literal

import optuna
from optuna.study import StudyDirection
from optuna.terminator import RegretBoundEvaluator
from optuna.trial import FrozenTrial, TrialState

from tuner.rungs import FULL_BUDGET
from tuner.study import SweepStudy

FEWEST_TRIALS = 10
"""With fewer finished trials nothing is said: a Gaussian process needs some to tell slopes from noise."""

FEWEST_TO_STOP = 20
"""With fewer a search is not ended by it: Optuna's own minimum."""

COMPARED = 5

SEEDS_ERRORS = 2
"""A difference of two means over seeds counts where it is more than so many standard errors of it."""


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What `expected_gain` found, in Dice."""

    bound: float
    """No configuration of the space is likely to exceed the best one found by more: an upper confidence bound."""

    error: float
    """The standard deviation with which a trial's Dice is known."""

    error_of: Literal["seeds", "cases"]
    """What `error` was measured on."""

    trials: int
    """The finished trials it rests on."""

    @property
    def pays(self) -> bool:
        """Whether what may be gained could be told from luck."""
        return self.bound >= self.error


def expected_gain(trials: Sequence[FrozenTrial], repeats: Sequence[FrozenTrial] = ()) -> Gain | None:
    """What more trials may gain.

    Args:
        trials: of the sweep, with Dice as their only value. Those that reached the full budget count: Dice at lower
            budgets is of another scale.
        repeats: of the confirm stage.

    Returns None with fewer than FEWEST_TRIALS finished, or where nothing says how well a Dice is known.
    """
    finished = [trial for trial in trials if trial.state == TrialState.COMPLETE and len(trial.values) == 1]
    if len(finished) < FEWEST_TRIALS:
        return None
    if (seeds := spread_of_seeds(repeats)) is not None:
        return Gain(bound=_bound(finished), error=seeds, error_of="seeds", trials=len(finished))
    if (cases := error_of_cases(finished)) is not None:
        return Gain(bound=_bound(finished), error=cases, error_of="cases", trials=len(finished))
    return None


def should_stop(study: SweepStudy) -> bool:
    """Whether a running search may end: enough trials, and what is left to gain is below the error of a Dice.

    Cheap to ask again: it is computed once for each number of finished trials (0.3 s at 150 of them on one core).
    """
    finished = study.trials(TrialState.COMPLETE)
    if len(finished) < FEWEST_TO_STOP:
        return False
    known = _judged.get(study.optuna)
    if known is None or known[0] != len(finished):
        gain = expected_gain(finished)
        known = _judged[study.optuna] = len(finished), gain is not None and not gain.pays
    return known[1]


_judged: weakref.WeakKeyDictionary[optuna.Study, tuple[int, bool]] = weakref.WeakKeyDictionary()


def spread_of_seeds(repeats: Sequence[FrozenTrial]) -> float | None:
    """The standard deviation of Dice between seeds, pooled over the configurations; None without two of one."""
    scores: dict[int, list[float]] = {}
    for trial in repeats:
        if trial.state == TrialState.COMPLETE:
            scores.setdefault(trial.user_attrs["of"], []).append(trial.intermediate_values[FULL_BUDGET])
    several = [values for values in scores.values() if len(values) > 1]
    if not several:
        return None
    freedom = [len(values) - 1 for values in several]
    return math.sqrt(sum(n * variance(values) for n, values in zip(freedom, several, strict=True)) / sum(freedom))


def error_of_difference(spread: float, first: int, second: int) -> float:
    """The standard error of the difference of two means, over so many seeds each, of that spread between seeds."""
    return spread * math.sqrt(1 / first + 1 / second)


def error_of_cases(finished: Sequence[FrozenTrial]) -> float | None:
    """The standard error of a difference in Dice between good trials, over the cases that both were scored on.

    The stand-in where no seeds were repeated; pooled over neighbours among the best COMPARED. Not the spread over the
    cases itself: most of that is that some cases are hard for every configuration, which moves no comparison. What the
    luck of a training does to single cases is in it, so it is about as large as the spread between seeds, and larger
    where cases are few.
    """
    best = sorted(finished, key=lambda trial: -trial.intermediate_values[FULL_BUDGET])[:COMPARED]
    means = [
        {case: fmean(scores.values()) for case, scores in trial.user_attrs.get("cases", {}).items()} for trial in best
    ]
    squares = []
    for first, second in pairwise(means):
        differences = [first[case] - second[case] for case in first.keys() & second.keys()]
        if len(differences) > 1:
            squares.append(variance(differences) / len(differences))
    return math.sqrt(fmean(squares)) if squares else None


def _bound(finished: Sequence[FrozenTrial]) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = RegretBoundEvaluator(min_n_trials=FEWEST_TRIALS, seed=0)
        # Its warnings are on numerical fits; a bound that comes of a bad one is wide, which says "go on".
        warnings.simplefilter("ignore", UserWarning)
        return max(0.0, float(evaluator.evaluate(list(finished), StudyDirection.MAXIMIZE)))
