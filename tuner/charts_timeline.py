"""The interactive chart of slots over time: which trial ran where, and how it ended."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from tuner.charts_style import chart, rounded
from tuner.charts_text import shown
from tuner.durations import duration, time_unit
from tuner.endings import FAILED, FULL, INTERRUPTED, MISFIT, RUNNING, STOPPED
from tuner.markdown import count
from tuner.palette import AMBER, BLUE, GREEN, GREY, INK, ORANGE, PINK, SKY
from tuner.results import Results
from tuner.timeline import Stretch, Timeline, timeline

AGAIN = "trained again with another seed"

LOOKS: Mapping[str, dict[str, Any]] = {
    FULL: {"color": BLUE},
    STOPPED: {"color": GREY},
    AGAIN: {"color": GREEN},
    FAILED: {"color": ORANGE, "pattern": {"shape": "x", "size": 6}},
    MISFIT: {"color": PINK, "pattern": {"shape": "/", "size": 6}},
    INTERRUPTED: {"color": AMBER, "pattern": {"shape": ".", "size": 6}},
    RUNNING: {"color": SKY},
}

LONGEST_NAME = 16
"""Characters of a node's name."""

MOST_LABELS = 24
FEW = 40
"""With no more stretches than this on a lane they are set apart by white lines."""


def timeline_chart(results: Results) -> go.Figure | None:
    """A bar for each stretch of a trial on a slot."""
    found = timeline(results)
    if found is None:
        return None
    seconds, unit = time_unit(max(stretch.began + stretch.seconds for stretch in found.stretches))
    by_look: dict[str, list[Stretch]] = {look: [] for look in LOOKS}
    for stretch in found.stretches:
        again = stretch.study == "confirm" and stretch.ending == FULL
        by_look[AGAIN if again else stretch.ending].append(stretch)
    lanes = len(found.lanes)
    apart = len(found.stretches) <= FEW * lanes
    traces = [_bars(look, members, seconds, apart=apart) for look, members in by_look.items() if members]
    return chart(
        traces,
        caption=_caption(found),
        height=140 + round(lanes * max(8.0, min(32.0, 560 / lanes))),
        xaxis={"title": {"text": f"time since the first trial began ({unit})"}, "rangemode": "tozero"},
        yaxis={**_lane_axis(found), "range": [lanes - 0.4, -0.6], "showgrid": False},
        barmode="overlay",
        bargap=0.15,
        shapes=[_pause_line(pause.at / seconds) for pause in found.pauses],
    )


def _bars(look: str, stretches: Sequence[Stretch], unit: float, *, apart: bool) -> go.Bar:
    return go.Bar(
        x=[rounded(stretch.seconds / unit) for stretch in stretches],
        base=[rounded(stretch.began / unit) for stretch in stretches],
        y=[stretch.lane for stretch in stretches],
        customdata=[[_who(stretch), duration(stretch.seconds)] for stretch in stretches],
        orientation="h",
        name=look,
        marker={**LOOKS[look], "line": {"width": 1 if apart else 0, "color": "white"}},
        hovertemplate=f"%{{customdata[0]}}<br>{look}<br>%{{customdata[1]}}<extra></extra>",
    )


def _who(stretch: Stretch) -> str:
    name = f"{'confirm ' if stretch.study == 'confirm' else ''}trial {stretch.number}"
    return name if stretch.attempt == 1 else f"{name}, stretch {stretch.attempt}"


def _lane_axis(found: Timeline) -> dict[str, Any]:
    several = len({node for node, _ in found.lanes}) > 1
    every = -(-len(found.lanes) // MOST_LABELS)
    labels = [
        f"{shown(node, longest=LONGEST_NAME)} {slot}" if several else f"slot {slot}" for node, slot in found.lanes
    ]
    return {"tickvals": list(range(0, len(labels), every)), "ticktext": labels[::every]}


def _pause_line(place: float) -> dict[str, Any]:
    line = {"color": INK, "width": 1, "dash": "dot"}
    return {"type": "line", "x0": place, "x1": place, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def _caption(found: Timeline) -> str:
    text = f"Which trial ran when on {'the slot' if len(found.lanes) == 1 else f'which of {len(found.lanes)} slots'}, "
    text += "and how it ended; a bar reaches to the trial's last report."
    if found.pauses:
        idle = duration(sum(pause.seconds for pause in found.pauses))
        text += f" Dotted: {count(len(found.pauses), 'pause')}, {idle} in which nothing ran, left out."
    if found.untold:
        text += f" Not shown: {count(found.untold, 'trial')} of which no report came."
    return text
