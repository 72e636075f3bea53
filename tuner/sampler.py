"""Which sampler proposes the trials of a sweep."""

import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler

from search_spaces.parameters import Choice
from search_spaces.space import SearchSpace
from tuner.config import SearchConfig
from tuner.errors import SweepConfigError
from tuner.importing import import_named
from tuner.rung_gp import Fits, RungGPSampler


def sampler_factory(search: SearchConfig, *, slots: int) -> Callable[[int], BaseSampler]:
    """Makes the sampler that proposes trial `number`, seeded by that number.

    By default a Gaussian process over parameters and rungs: on learning curves under ASHA with many workers that was
    best of all tried (`benchmarks/results/search_quality.md`). Its random start is two trials a slot and at least 12,
    since with fewer it was behind random search there. It learns from one score; with several objectives TPE is the
    default, univariate, with constant liar, a random start of four trials a slot and three times the usual prior, which
    were better there than Optuna's defaults.

    Raises SweepConfigError if the sampler can't be made.
    """
    name = search.sampler or ("gp" if len(search.objectives) == 1 else "tpe")
    startup = search.startup_trials
    if startup is None:
        startup = max(12, 2 * slots) if name == "gp" else 4 * slots
        startup = startup if search.trials is None else min(startup, search.trials // 2)
    fits: dict[int, Fits] = {}

    def make(number: int) -> BaseSampler:
        seed = int(np.random.SeedSequence([search.seed, number]).generate_state(1)[0])
        options = search.sampler_options
        # Optuna says of some of its own, each time that one is made, that they are experimental.
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            match name:
                case "gp":
                    return RungGPSampler(seed=seed, fits=fits, **{"n_startup_trials": startup, **options})
                case "random" | "grid":  # a grid's trials are planned with their values
                    return RandomSampler(seed=seed)
                case "tpe":
                    settings = {
                        "n_startup_trials": startup,
                        "multivariate": False,
                        "constant_liar": True,
                        "prior_weight": 3.0,
                    }
                    # `prior_weight` goes in Optuna 6.
                    with warnings.catch_warnings(action="ignore", category=FutureWarning):
                        return TPESampler(seed=seed, **{**settings, **options})
                case "quasi-random":
                    # One sequence for the whole sweep: each trial takes its next point, so the seed must stay.
                    return QMCSampler(
                        seed=search.seed, **{"scramble": True, "warn_asynchronous_seeding": False, **options}
                    )
            own: BaseSampler = import_named(name, key="search.sampler", kind=BaseSampler)(seed=seed, **options)
            return own

    try:
        make(0)
    except SweepConfigError:
        raise
    except (TypeError, ValueError) as error:
        raise SweepConfigError(f"search.sampler_options: not taken by the sampler {name}: {error}") from error
    return make


def grid(space: SearchSpace, *, seed: int) -> Iterator[dict[str, Any]]:
    """Every combination of the searched parameters once, in a random order, so that a part of them is a fair one."""
    values = {
        name: list(parameter.values) if isinstance(parameter, Choice) else parameter.grid()
        for name, parameter in space.searched.items()
    }
    combinations = [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]
    order = np.random.default_rng(seed).permutation(len(combinations))
    return (combinations[index] for index in order)
