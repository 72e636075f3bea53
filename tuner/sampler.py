"""Which sampler proposes the trials of a sweep."""

from collections.abc import Callable

import numpy as np
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from tuner.config import SearchConfig


def sampler_factory(search: SearchConfig, *, slots: int) -> Callable[[int], BaseSampler]:
    """Makes the sampler that proposes trial `number`, seeded by that number.

    TPE is univariate with constant liar and a random start of four trials a slot: on learning curves under ASHA with
    many workers that was better than Optuna's default (multivariate, ten random trials), which walks into slow
    configurations.
    """
    startup = search.startup_trials
    if startup is None:
        startup = min(4 * slots, search.trials // 2)

    def make(number: int) -> BaseSampler:
        seed = int(np.random.SeedSequence([search.seed, number]).generate_state(1)[0])
        if search.sampler == "random":
            return RandomSampler(seed=seed)
        return TPESampler(seed=seed, n_startup_trials=startup, multivariate=False, constant_liar=True)

    return make
