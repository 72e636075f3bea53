"""Text for people: Markdown that shows names as they are, tables, and amounts with their units."""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tuner.durations import duration
from tuner.environment import libraries_text
from tuner.inert import inert


def escape(text: object) -> str:
    """`text` on one line, shown by Markdown as it stands, in a table's cell too, and by a terminal."""
    line = inert(" ".join(str(text).split()))
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*\[\]|~$])", r"\\\1", line)
    # An underscore inside a word means nothing: learning_rate stays legible in the source.
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", line)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = True) -> str:
    """A table whose first column is text; the others are right-aligned if they hold `numbers`. Cells are Markdown."""
    lines = [header, ["---", *["--:" if numbers else "---"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def dice(value: float | None) -> str:
    """Four digits; empty where there is none."""
    return "" if value is None or pd.isna(value) else f"{value:.4f}"


def spread(values: pd.Series) -> str:
    """Mean and standard deviation (n - 1); the mean alone of a single value."""
    return mean_and_deviation(values.mean(), values.std())


def mean_and_deviation(mean: float, deviation: float) -> str:
    """`0.8712 ± 0.0021`; the mean alone where the deviation is NaN, and nothing where the mean is."""
    return dice(mean) if pd.isna(mean) or pd.isna(deviation) else f"{dice(mean)} ± {dice(deviation)}"


def amount(value: float, unit: str) -> str:
    """A budget: `1.5 G voxels`, `200 steps`, `5 min`."""
    if unit == "seconds":
        return duration(value)
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor and not (unit == "steps" and factor < 1e6):
            return f"{value / factor:.3g} {prefix} {unit}"
    return f"{value:g} {unit}"


def setting(value: Any) -> str:
    """A parameter's value, four significant digits of a float."""
    return f"{value:.4g}" if isinstance(value, float) else escape(value)


def last_line(error: object) -> str:
    """What a traceback says at its end."""
    return (str(error).strip().splitlines() or ["unknown"])[-1]


def listed(numbers: Sequence[object], *, most: int = 12) -> str:
    """`3, 7, 12`; of many the first ones, and how many more there are."""
    shown = ", ".join(map(str, numbers[:most]))
    return shown if len(numbers) <= most else f"{shown} and {len(numbers) - most} more"


def enumerated(names: Sequence[str]) -> str:
    """`a, b and c`."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def count(number: int, noun: str) -> str:
    """`1 trial`, `3 trials`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def made_with(environment: Mapping[str, Any]) -> str:
    """For the end of a page of Markdown: a line for each fact of `environment`, the command and the libraries."""
    command = environment.get("command")
    facts = {k: value for k, value in environment.items() if k != "command" and isinstance(value, str | int | float)}
    lines = [f"- {name.replace('_', ' ')}: {escape(value)}" for name, value in facts.items()]
    if command:
        lines.append(f"- command: `{command if isinstance(command, str) else shlex.join(command)}`")
    return "\n".join([*lines, f"- libraries: {escape(libraries_text(environment))}"])
