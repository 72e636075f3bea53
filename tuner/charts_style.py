"""How all of the interactive charts look: on any page, from 390 pixels wide on, in the page's own font."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from tuner.dice_scale import DiceScale, dice_scale
from tuner.palette import BLUE, FAINT, GREY, INK, SLATE

MODE_BAR = 26
"""Pixels that plotly's buttons take at the top."""

DIGITS = 5
"""Significant digits of what is drawn."""

CLOSEST = 0.06
"""Two labels of an axis are as far apart at least, as a share of its length."""

AXIS: Mapping[str, Any] = {
    "automargin": True,
    "gridcolor": FAINT,
    "linecolor": GREY,
    "zeroline": False,
    "tickfont": {"color": SLATE},
    "title": {"font": {"color": SLATE}, "standoff": 8},
}


def chart(traces: Iterable[Any], *, caption: str, height: int, least_width: int = 320, **layout: Any) -> go.Figure:
    """A figure of `traces`, `height` pixels high and as wide as there is room.

    Args:
        caption: what it shows and how to read it, plain text for the page to set; stands in `layout.meta["caption"]`.
        least_width: pixels below which its labels meet: a page lets it scroll then; `layout.meta["least_width"]`.
        layout: what differs from what all have in common, key by key.
    """
    common = {
        "template": go.layout.Template(),  # plotly's own is 7 kB in each figure
        "meta": {"caption": caption, "least_width": least_width},
        "height": height,
        "autosize": True,
        "margin": {"l": 8, "r": 12, "t": MODE_BAR + 26, "b": 8},  # a line of legend below the mode bar
        "font": {"family": "inherit", "size": 12, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "closest",
        "showlegend": True,  # of a single kind of trials too: its name is a finding
        "hoverlabel": {"align": "left", "bgcolor": "white", "bordercolor": GREY, "font": {"color": INK}},
        # Above the axes: below them it would meet the axis' title where a narrow page breaks it into lines.
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemsizing": "constant"},
        "dragmode": False,  # a finger on a chart scrolls the page; the mode bar's buttons zoom
        "modebar": {"bgcolor": "white", "color": GREY, "activecolor": BLUE, "remove": ["select2d", "lasso2d"]},
    }
    axes = {"xaxis": AXIS, "yaxis": AXIS}
    return go.Figure(list(traces), _merged({**common, **axes}, layout))


def dice_places(scores: Sequence[float]) -> tuple[list[float | None], DiceScale | None]:
    """Where Dice stand on the axis that `dice_axis` makes of them, and its scale."""
    scale = dice_scale(pd.Series(scores, dtype=float))
    return [rounded(1 - score if scale else score) for score in scores], scale


def dice_axis(scale: DiceScale | None, title: str) -> dict[str, Any]:
    """The axis that shows Dice on a log scale of the error; a linear one without a scale."""
    if scale is None:
        return {"title": {"text": title}}
    ends = [math.log10(1 - scale.low), math.log10(1 - scale.high)]
    ticks = apart(scale, CLOSEST)
    return {
        "title": {"text": title},
        "type": "log",
        "range": ends,
        "tickvals": [rounded(1 - tick) for tick in ticks],
        "ticktext": [f"{tick:g}" for tick in ticks],
    }


def dice_note(scale: DiceScale | None) -> str:
    """What a reader is to know of such an axis."""
    return "" if scale is None else " The height is on a log scale of 1 - Dice."


def log_axis(low: float, high: float) -> dict[str, Any]:
    """A log axis with ticks at 1, 2, 5, 10, ... between positive `low` and `high`."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def rounded(value: float | None, digits: int = DIGITS) -> float | None:
    """By significant digits; None where there is no number, which breaks a line."""
    return float(f"{value:.{digits}g}") if value is not None and math.isfinite(value) else None


def apart(scale: DiceScale, share: float) -> list[float]:
    """Of the scale's ticks, from the highest on, those that are `share` of its length or more from one another."""
    least = share * math.log10((1 - scale.low) / (1 - scale.high))
    kept: list[float] = []
    for tick in reversed(scale.ticks):
        if not kept or math.log10((1 - tick) / (1 - kept[-1])) >= least:
            kept.append(tick)
    return kept[::-1]


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in changes.items():
        inner = merged.get(name)
        merged[name] = _merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return merged
