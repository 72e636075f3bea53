"""What the interactive charts say of a trial when one points at it."""

import html

from optuna.trial import FrozenTrial

from tuner.cells import short
from tuner.endings import FAILED, MISFIT, ending
from tuner.markdown import last_line
from tuner.results import Results

LONGEST = 48
"""Characters of a text from outside, such as an error."""

MOST_PARAMETERS = 12
"""Lines that a hover text has for them: a phone shows no more."""


def plain(text: object, *, longest: int = LONGEST) -> str:
    """Text from outside on one line, cut."""
    line = " ".join(short(text).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def shown(text: object, *, longest: int = LONGEST) -> str:
    """The same as plotly shows it: it takes `<b>` and the like for markup, nearly everywhere."""
    return html.escape(plain(text, longest=longest), quote=False)


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
