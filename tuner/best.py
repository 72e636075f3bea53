"""Which configuration is called best, and why.

The Dice of a configuration picked as the best of many is biased upwards: it was picked because that run went well. So
once the confirm stage is over, those that were trained again are compared by their mean over the confirm stage's own
seeds, and the search's Dice counts no more. Before that the order of the search holds.
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
    """`confirmed`: highest mean Dice over other seeds, among the configurations that were trained again with them.
    `full budget`: highest Dice of the search. `unfinished`: no trial reached the full budget; the best so far."""

    found: Run
    """The search's own run. Where it got the configuration picked, its Dice is biased upwards."""

    repeats: tuple[Run, ...] = ()
    """The finished runs with other seeds that it was chosen by; none unless `basis` is "confirmed"."""

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs that speak for it: its mean Dice is theirs."""
        return self.repeats or (self.found,)

    @property
    def score(self) -> float:
        """Mean validation Dice over `runs`."""
        return fmean(run.score for run in self.runs)

    @property
    def run(self) -> Run:
        """Of all its finished runs the one with the highest validation Dice: its model is the one to use."""
        return max((self.found, *self.repeats), key=lambda run: run.score)

    def __str__(self) -> str:
        """`trial 7, repeated as 3 of confirm`: whose model it is, for people."""
        repeat = f", repeated as {self.run.number} of confirm" if self.run.study == "confirm" else ""
        return f"trial {self.number}{repeat}"


def standings(trials: Iterable[FrozenTrial]) -> list[Run]:
    """The search's runs, the unfinished ones too, best first: by the step they reached, then by Dice there.

    Left out are those that were never evaluated, that failed, or that did not fit in memory.
    """
    usable = (trial for trial in trials if trial.state != TrialState.FAIL and trial.user_attrs.get("feasible", True))
    runs = [Run.of("sweep", trial) for trial in usable]
    return sorted((run for run in runs if run.step), key=lambda run: (-run.step, -run.score, run.number))


def ahead_of(best: Best, sweep: Iterable[FrozenTrial]) -> Run | None:
    """The unfinished run of the search with the highest Dice, if that is above the best one's already.

    A search that a limit of time ends may leave such runs; trained on, one of them would likely be the best.
    """
    runs = (Run.of("sweep", trial) for trial in sweep if not trial.state.is_finished())
    return max((run for run in runs if run.score > best.score), key=lambda run: run.score, default=None)


def repeats_of(number: int, confirm: Iterable[FrozenTrial]) -> Iterator[Run]:
    """The confirm stage's runs of the configuration of the sweep's trial `number`."""
    return (Run.of("confirm", trial) for trial in confirm if trial.user_attrs["of"] == number)


def choose_best(space: SearchSpace, sweep: Sequence[FrozenTrial], confirm: Sequence[FrozenTrial]) -> Best | None:
    """What to use, from all trials of the two studies by number; None if no trial of the sweep stands anywhere."""
    order = standings(sweep)
    if not order:
        return None
    basis: Basis = "full budget" if order[0].finished else "unfinished"
    found, repeats = order[0], tuple[Run, ...]()
    confirmed = _confirmed(confirm)
    if confirmed:
        number = max(confirmed, key=lambda config: fmean(run.score for run in confirmed[config]))
        basis, found, repeats = "confirmed", Run.of("sweep", sweep[number]), confirmed[number]
    parameters = {**space.fixed, **sweep[found.number].params}
    return Best(number=found.number, parameters=parameters, basis=basis, found=found, repeats=repeats)


def _confirmed(confirm: Sequence[FrozenTrial]) -> dict[int, tuple[Run, ...]]:
    """The finished runs of each configuration that was trained again; nothing before the confirm stage is over."""
    if not all(trial.state.is_finished() for trial in confirm):
        return {}
    numbers = sorted({trial.user_attrs["of"] for trial in confirm if trial.state == TrialState.COMPLETE})
    return {number: tuple(run for run in repeats_of(number, confirm) if run.finished) for number in numbers}
