"""How long a sweep will take, and the budget that lets it end in time: ASHA played with made-up scores.

How much of the full budget trials use cannot be read off the reduction factor: with few trials many go on because
little was seen before them. So the rungs that will judge the sweep judge trials with random scores here, on a clock
that counts what each trial's steps and evaluations were measured to take.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from tuner.cluster_model import Modelled, Overheads, TrialTimes, simulate
from tuner.rungs import FULL_BUDGET, SuccessiveHalving, rung_steps

START_SECONDS = 15.0
"""Until the first trial trains: Ray starts, and its workers import torch."""

REPORT_SECONDS = 0.3
"""Between rungs: state and model are written, the study records, the next assignment travels."""

LEARNING = 0.2
"""How far the mean score rises over a sweep, where scores at the same time spread over 1. A sampler that learns
proposes better trials later, so that more pass than at random; 0.2 gives what TPE used in played sweeps of 16 to 100
trials, 10 to 25 % more than random draws."""

MOST_PLAYS, FEWEST_PLAYS = 40, 16
PLAYED = 8_000
"""Trials in all the plays together: the more a sweep has, the less luck moves its length, and the longer a play is."""

LIKELY = 0.8
"""The share of plays that end in the time that is told: how many trials pass their rungs is a matter of luck too."""


@dataclass(frozen=True, kw_only=True)
class TrialCost:
    """What a configuration takes on the machine, all slots busy."""

    seconds_per_unit: float
    """Of training, for a unit of the budget: a voxel, or the full budget itself where `maximum` is 1."""

    evaluation_seconds: float
    """All validation cases once."""


@dataclass(frozen=True, kw_only=True)
class SweepShape:
    """What of a sweep decides, besides the cost of its trials, how long it takes."""

    trials: int
    slots: int
    first_share: float = 1 / 9
    reduction: float = 3.0
    stop_early: bool = True


def least_seconds(shape: SweepShape) -> float:
    """No sweep takes less, whatever its trials train: Ray starts, and each of them is recorded once."""
    return START_SECONDS + REPORT_SECONDS * ceil(shape.trials / shape.slots)


def likely_seconds(shape: SweepShape, costs: Sequence[TrialCost], maximum: float) -> float:
    """How long a sweep with a full budget of `maximum` units takes: four of five are not longer."""
    return float(np.quantile([play.seconds for play in plays(shape, costs, maximum)], LIKELY))


def plays(shape: SweepShape, costs: Sequence[TrialCost], maximum: float) -> list[Modelled]:
    """Sweeps with a full budget of `maximum` units, as they may go.

    The first trial costs `costs[0]`, the others are drawn from all of `costs`.
    """
    count = min(MOST_PLAYS, max(FEWEST_PLAYS, PLAYED // shape.trials))
    return [_play(shape, costs, maximum, seed) for seed in range(count)]


def fitting_maximum(shape: SweepShape, costs: Sequence[TrialCost], seconds: float) -> float:
    """The full budget in units with which a sweep likely takes `seconds`; 0 if evaluating alone takes longer."""
    idle = likely_seconds(shape, costs, 0.0)
    if idle >= seconds:
        return 0.0
    maximum = seconds / costs[0].seconds_per_unit
    for _ in range(5):  # the duration is nearly a straight line over the budget
        maximum *= (seconds - idle) / (likely_seconds(shape, costs, maximum) - idle)
    return maximum


def _play(shape: SweepShape, costs: Sequence[TrialCost], maximum: float, seed: int) -> Modelled:
    """One sweep."""
    rng = np.random.default_rng(seed)
    scores = rng.random(shape.trials) + LEARNING * np.arange(shape.trials) / shape.trials
    drawn = [costs[0], *(costs[index] for index in rng.integers(len(costs), size=shape.trials - 1))]
    steps = rung_steps(shape.first_share, shape.reduction)
    shares = np.diff(steps, prepend=0) / FULL_BUDGET
    trials = [
        TrialTimes(
            seconds=tuple(shares * maximum * cost.seconds_per_unit + cost.evaluation_seconds + REPORT_SECONDS),
            scores=(score,) * len(steps),
        )
        for cost, score in zip(drawn, scores, strict=True)
    ]
    rungs = SuccessiveHalving(steps, shape.reduction) if shape.stop_early else None
    return simulate(trials, slots=shape.slots, overheads=Overheads(start=START_SECONDS), rungs=rungs)
