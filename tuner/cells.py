"""Cells of the tables that a terminal shows."""

from typing import Any

from rich.text import Text


def cell(value: Any) -> Text:
    """A parameter's value or name: short, and cut rather than wrapped where the terminal is narrow."""
    return Text(short(value), no_wrap=True, overflow="ellipsis")


def short(value: Any) -> str:
    """Floats by three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
