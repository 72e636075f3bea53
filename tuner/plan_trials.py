"""What a sweep tries: its first trials, and a place in the study for each of the others."""

from collections.abc import Sequence
from itertools import islice

from tuner.config import SweepConfig
from tuner.sampler import grid
from tuner.study import DEFAULT_ORIGIN, SweepStudy, was_turned_away
from tuner.warm_start import EarlierBest


def plan_trials(study: SweepStudy, config: SweepConfig, earlier: Sequence[EarlierBest], *, joins: bool) -> int | None:
    """Queue what is to be tried, as far as it is not yet. Returns how many trials that makes; None: any number.

    Args:
        joins: whether another driver began the study, and has queued what is to be tried.
    """
    with study.together():  # who looks meanwhile sees all of the places, or none
        if not study.trials():
            _enqueue_first(study, config, earlier)
        if config.search.sampler == "grid":
            return sum(not was_turned_away(trial) for trial in study.trials())
        if config.search.trials is not None and not joins:
            study.plan(config.search.trials)
        return config.search.trials


def _enqueue_first(study: SweepStudy, config: SweepConfig, earlier: Sequence[EarlierBest]) -> None:
    """The default configuration, the best of earlier sweeps, a grid where one is asked for."""
    if config.default:
        study.enqueue(config.default, origin=DEFAULT_ORIGIN)
    for best in earlier:
        for number, parameters in best.trials.items():
            study.enqueue(parameters, origin=f"{best.sweep}:{number}")
    if config.search.sampler == "grid":
        others = (point for point in grid(study.space, seed=config.search.seed) if point != config.default)
        for point in islice(others, config.search.trials and config.search.trials - len(study.trials())):
            study.enqueue(point)
