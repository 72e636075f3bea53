"""Which configuration is called best, and why.

The Dice of a configuration picked as the best of many is biased upwards. So once the confirm stage is over, those that
were trained again with other seeds are compared by their mean over all seeds; before that the sweep's own order holds.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from optuna.trial import FrozenTrial, TrialState

from search_spaces.space import SearchSpace
from tuner.rungs import FULL_BUDGET

StudyName = Literal["sweep", "confirm"]
"""A sweep's two studies: the search itself, and its best configurations again with other seeds."""

Basis = Literal["confirmed", "full budget", "unfinished"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training of one configuration."""

    study: StudyName
    number: int
    """In its study; with `study` it names the run's checkpoint folder."""

    seed: int
    step: int
    """Thousandths of the full budget at which it was last evaluated; 0 before the first evaluation."""

    score: float
    """Mean validation Dice at that step, NaN before the first evaluation."""

    @classmethod
    def of(cls, study: StudyName, trial: FrozenTrial) -> "Run":
        step = max(trial.intermediate_values, default=0)
        return cls(
            study=study,
            number=trial.number,
            seed=trial.user_attrs.get("seed", 0),
            step=step,
            score=trial.intermediate_values.get(step, math.nan),
        )

    @property
    def finished(self) -> bool:
        return self.step == FULL_BUDGET


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best configuration and the runs that speak for it."""

    number: int
    """The sweep's trial that proposed it."""

    parameters: Mapping[str, Any]
    """All of them, the space's fixed values included."""

    basis: Basis
    """`confirmed`: highest mean Dice over its seeds, among the configurations trained again with other seeds.
    `full budget`: highest Dice of the sweep. `unfinished`: no trial reached the full budget; the best so far."""

    runs: tuple[Run, ...]
    """The sweep's own run first, then those with other seeds."""

    @property
    def run(self) -> Run:
        """The run with the highest validation Dice: its model is the one to use."""
        return max(self.runs, key=lambda run: run.score)


def ranking(trials: Iterable[FrozenTrial]) -> list[Run]:
    """The sweep's runs, best first: by the step they reached, then by Dice there.

    Left out are those that were never evaluated, that failed, or that did not fit in memory.
    """
    usable = [
        trial
        for trial in trials
        if trial.intermediate_values and trial.state != TrialState.FAIL and trial.user_attrs.get("feasible", True)
    ]
    return sorted((Run.of("sweep", trial) for trial in usable), key=lambda run: (-run.step, -run.score, run.number))


def runs_of(number: int, sweep: Sequence[FrozenTrial], confirm: Iterable[FrozenTrial]) -> Iterator[Run]:
    """The run of the sweep's trial `number`, then the confirm stage's runs of the same configuration."""
    yield Run.of("sweep", sweep[number])
    for trial in confirm:
        if trial.user_attrs["of"] == number:
            yield Run.of("confirm", trial)


def choose_best(space: SearchSpace, sweep: Sequence[FrozenTrial], confirm: Sequence[FrozenTrial]) -> Best | None:
    """What to use, from all trials of the two studies by number; None if the sweep's ranking is empty."""
    order = ranking(sweep)
    if not order:
        return None
    basis: Basis = "full budget" if order[0].finished else "unfinished"
    number = order[0].number
    runs: tuple[Run, ...] = (order[0],)
    repeated = {trial.user_attrs["of"] for trial in confirm if trial.state == TrialState.COMPLETE}
    if repeated and all(trial.state.is_finished() for trial in confirm):
        finished = {
            config: tuple(run for run in runs_of(config, sweep, confirm) if run.finished) for config in sorted(repeated)
        }
        number = max(finished, key=lambda config: fmean(run.score for run in finished[config]))
        basis, runs = "confirmed", finished[number]
    return Best(number=number, parameters={**space.fixed, **sweep[number].params}, basis=basis, runs=runs)
