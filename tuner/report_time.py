"""How a sweep's time is told: one line for the end of `voxtune run`, a chapter for the report."""

from collections.abc import Callable, Iterator

from tuner.durations import duration
from tuner.markdown import count, table
from tuner.results import Results
from tuner.utilisation import Utilisation, utilisation


def time_line(results: Results) -> str | None:
    """One line on what the search's slots did; None before a trial has reported."""
    found = utilisation(results.sweep_trials)
    if found is None:
        return None
    text = f"{count(found.slots, 'slot')}: {found.training:.0%} of their time in training, "
    text += f"{found.evaluation:.0%} in evaluation"
    if found.turnaround_seconds is not None:
        text += f"; {duration(found.turnaround_seconds)} from one trial's end to the next one's first step (median)"
    return text


def time_spent(results: Results) -> Iterator[str]:
    """The report's chapter, in Markdown."""
    stages = {"search": results.sweep_trials, "confirm": results.confirm_trials}
    found = {name: use for name, trials in stages.items() if (use := utilisation(trials))}
    if not found:
        return
    rows = [[name, *(told(use) for use in found.values())] for name, told in _ROWS.items()]
    yield table(["share of the slots' time", *found], rows)


_ROWS: dict[str, Callable[[Utilisation], str]] = {
    "training": lambda use: _share(use.training),
    "of it drawing batches, or waiting for them": lambda use: _share(use.data),
    "evaluation": lambda use: _share(use.evaluation),
    "start: building networks, loading states": lambda use: _share(use.start),
    "checkpoint: what waited for the disk": lambda use: _share(use.checkpoint),
    "waiting for the next trial, or to be told to go on": lambda use: _share(use.waiting),
    "slots": lambda use: str(use.slots),
    "slots' time": lambda use: duration(use.seconds),
    "and after the last trial of each, while others ran on": lambda use: duration(use.tail_seconds),
    "from a trial's end to the next one's first step (median)": lambda use: (
        "" if use.turnaround_seconds is None else duration(use.turnaround_seconds)
    ),
}


def _share(share: float) -> str:
    return f"{share:.1%}"
