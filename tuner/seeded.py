"""A sampler whose proposals depend on the study, the seed and the trial's number, never on what it proposed before."""

from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState


class SeededByNumber(BaseSampler):
    """Proposes each trial by a sampler made for its number.

    A sampler's random state is not in the study; one that depends on the trial's number alone needs none. Parameters
    that are drawn one by one get a sampler each: a driver may be killed when some of them are drawn.
    """

    def __init__(self, make: Callable[[int], BaseSampler]) -> None:
        self._make = make
        self._made: tuple[int, BaseSampler] | None = None

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        if self._made is None or self._made[0] != trial.number:
            self._made = trial.number, self._make(trial.number)
        return self._made[1]

    def _for(self, trial: FrozenTrial, parameter: str) -> BaseSampler:
        return self._make(crc32(f"{trial.number} {parameter}".encode()))

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._of(trial).before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._for(trial, param_name).sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self._of(trial).after_trial(study, trial, state, values)
