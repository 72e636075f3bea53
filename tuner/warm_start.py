"""What a new sweep can take from an earlier one: its best configurations, to be tried first.

Their scores are not taken over: another data set, split or budget would make them incomparable, and on the very same
terms `voxtune resume --trials` goes on with the earlier sweep itself. As its trials they are trained again and compared
like all others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces.errors import SpaceError
from search_spaces.parameters import Fixed
from search_spaces.space import SearchSpace
from tuner.directory import SweepDirectory
from tuner.errors import StudyError
from tuner.results import read_results

TOP = 3
"""So many of an earlier sweep's configurations are tried."""


@dataclass(frozen=True, kw_only=True)
class EarlierBest:
    """An earlier sweep's best configurations, as far as a new space holds them."""

    sweep: str

    trials: Mapping[int, Mapping[str, Any]]
    """The parameters by the earlier trial's number, best first. What is missing is left to the sampler."""

    left_out: tuple[str, ...]
    """What the new space does not hold, for people."""

    def __str__(self) -> str:
        trials = ", ".join(map(str, self.trials))
        left_out = f"; left out: {'; '.join(self.left_out)}" if self.left_out else ""
        return f"From {self.sweep}: its trials {trials} are tried first{left_out}"


def best_of_earlier(directory: SweepDirectory, space: SearchSpace) -> EarlierBest:
    """The best few of the sweep in `directory`: what its confirm stage chose, then the furthest by Dice.

    Raises StudyError if it has no trial with a score yet, or searched nothing that `space` searches.
    """
    results = read_results(directory)
    chosen = [results.best.number] if results.best else []
    numbers = list(dict.fromkeys([*chosen, *(run.number for run in results.standings)]))[:TOP]
    if not numbers:
        raise StudyError(f"--from: sweep {directory.root} has no trial with a score yet")
    trials: dict[int, dict[str, Any]] = {}
    left_out: dict[str, None] = {}
    for number in numbers:
        parameters = {**results.space.fixed, **results.sweep_trials[number].params}
        trials[number] = {}
        for name, value in parameters.items():
            reason = _why_not(space, name, value)
            if reason is None:
                trials[number][name] = space[name].canonical(value)
            elif reason:
                left_out[reason] = None
    if not any(trials.values()):
        raise StudyError(
            f"--from: sweep {directory.root} has nothing for this space: its trials have "
            f"{', '.join(results.space)}; this one searches {', '.join(space.searched)}"
        )
    return EarlierBest(
        sweep=directory.name,
        trials={number: parameters for number, parameters in trials.items() if parameters},
        left_out=tuple(left_out),
    )


def _why_not(space: SearchSpace, name: str, value: Any) -> str | None:
    """Why a new trial can't start from that value; None if it can, "" if there is no need."""
    if name not in space:
        return f"{name} is not in this space"
    parameter = space[name]
    if isinstance(parameter, Fixed):
        return "" if parameter.value == value else f"{name} is {parameter.value!r} here, was {value!r}"
    try:
        parameter.validate(name, value)
    except SpaceError as error:
        return str(error)
    return None
