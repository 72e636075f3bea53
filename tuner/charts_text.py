"""What the interactive charts say of a trial when one points at it."""

import html
from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from tuner.cells import short
from tuner.markdown import last_line
from tuner.results import Results

LONGEST = 48
"""Characters of a text from outside, such as an error."""

MOST_PARAMETERS = 12
"""Lines that a hover text has for them: a phone shows no more."""

FULL, STOPPED, MISFIT, FAILED, INTERRUPTED, RUNNING = (
    "reached the full budget",
    "stopped at a rung",
    "did not fit in memory",
    "failed",
    "interrupted",
    "still running",
)

_ENDINGS: Mapping[Any, str] = {
    "full budget": FULL,
    "stopped at rung": STOPPED,
    "out of memory": MISFIT,
    "turned away": MISFIT,
    "error": FAILED,
    TrialState.COMPLETE: FULL,
    TrialState.PRUNED: STOPPED,
    TrialState.FAIL: FAILED,
    TrialState.WAITING: INTERRUPTED,
    TrialState.RUNNING: RUNNING,
}


def ending(trial: FrozenTrial) -> str:
    """How a trial that was begun ended, or that it did not."""
    reason = trial.user_attrs.get("stop_reason")
    return _ENDINGS[reason if trial.state.is_finished() and reason in _ENDINGS else trial.state]


def shown(text: object, *, longest: int = LONGEST) -> str:
    """Text from outside on one line, cut, and as plotly shows it: it takes `<b>` and the like for markup."""
    line = " ".join(short(text).split())
    return html.escape(line if len(line) <= longest else line[: longest - 1] + "…", quote=False)


def details(trial: FrozenTrial) -> str:
    """A trial's parameters and how it ended, a line each."""
    lines = [f"{shown(name)} {shown(value)}" for name, value in trial.params.items()]
    if len(lines) > MOST_PARAMETERS:
        lines = [*lines[: MOST_PARAMETERS - 1], f"and {len(lines) - MOST_PARAMETERS + 1} more"]
    said = ending(trial)
    if said in (FAILED, MISFIT) and (error := trial.user_attrs.get("error")):
        said += f": {shown(last_line(error))}"
    return "<br>".join([*lines, said])


def names(results: Results) -> dict[int, str]:
    """What stands beside the numbers of trials that stand out: `best`, `default`."""
    marks: dict[int, str] = {}
    if results.best:
        marks[results.best.number] = "best"
    if results.default:
        number = results.default.number
        marks[number] = "best and default" if number in marks else "default"
    return marks
