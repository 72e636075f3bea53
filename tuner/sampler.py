"""Which sampler proposes the trials of a sweep."""

import itertools
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler

from search_spaces.parameters import Choice, Float, Int
from search_spaces.space import SearchSpace
from tuner.config import SearchConfig
from tuner.errors import SweepConfigError


def sampler_factory(search: SearchConfig, *, slots: int) -> Callable[[int], BaseSampler]:
    """Makes the sampler that proposes trial `number`, seeded by that number.

    TPE is univariate with constant liar, a random start of four trials a slot and three times the usual prior: on
    learning curves under ASHA with many workers that was better than Optuna's default (multivariate, ten random
    trials), which walks into slow configurations (`benchmarks/results/search_quality.md`).

    Raises SweepConfigError if the sampler can't be made.
    """
    startup = search.startup_trials
    if startup is None:
        startup = 4 * slots if search.trials is None else min(4 * slots, search.trials // 2)

    def make(number: int) -> BaseSampler:
        seed = int(np.random.SeedSequence([search.seed, number]).generate_state(1)[0])
        options = search.sampler_options
        match search.sampler:
            case "random" | "grid":  # a grid's trials are planned with their values
                return RandomSampler(seed=seed)
            case "tpe":
                settings = {
                    "n_startup_trials": startup,
                    "multivariate": False,
                    "constant_liar": True,
                    "prior_weight": 3.0,
                }
                with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of prior_weight, gone in 6
                    return TPESampler(seed=seed, **{**settings, **options})
            case "gp":
                return GPSampler(seed=seed, **{"n_startup_trials": startup, **options})
            case "quasi-random":
                # One sequence for the whole sweep: each trial takes its next point, so the seed must stay.
                return QMCSampler(seed=search.seed, **{"scramble": True, "warn_asynchronous_seeding": False, **options})
        return _own_sampler(search.sampler)(seed=seed, **options)

    try:
        make(0)
    except TypeError as error:
        raise SweepConfigError(f"search.sampler_options: not taken by the sampler {search.sampler}: {error}") from error
    return make


def grid(space: SearchSpace, *, seed: int) -> Iterator[dict[str, Any]]:
    """Every combination of the searched parameters once, in a random order, so that a part of them is a fair one."""
    values = {name: _grid_values(parameter) for name, parameter in space.searched.items()}
    combinations = [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]
    order = np.random.default_rng(seed).permutation(len(combinations))
    return (combinations[index] for index in order)


def _grid_values(parameter: Any) -> list[Any]:
    match parameter:
        case Choice(values=values):
            return list(values)
        case Int(low=low, high=high, step=step):
            return list(range(low, high + 1, step or 1))
        case Float(low=low, high=high, step=float(step)):
            return [low + step * index for index in range(int((high - low) / step + 1e-9) + 1)]
    raise AssertionError(f"the sweep file's check lets no {parameter} into a grid")


def _own_sampler(name: str) -> Callable[..., BaseSampler]:
    module, _, attribute = name.partition(":")
    try:
        sampler: Callable[..., BaseSampler] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SweepConfigError(f"search.sampler: {name} can't be imported: {error}") from error
    return sampler
