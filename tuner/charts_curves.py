"""The interactive learning curves: validation Dice of every trial over the training budget."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from tuner.charts_style import chart, dice_axis, dice_note, dice_places, rounded
from tuner.charts_text import details
from tuner.markdown import count
from tuner.palette import BLUE, GREEN, GREY, ORANGE, SLATE
from tuner.results import Results
from tuner.rungs import FULL_BUDGET

LOOKS: Mapping[str, dict[str, Any]] = {
    "stopped": {"line": {"color": GREY, "width": 1}, "marker": {"size": 4}},
    "finished": {"line": {"color": SLATE, "width": 1.2}, "marker": {"size": 4}},
    "confirmed": {"line": {"color": GREEN, "width": 1.8, "dash": "dot"}, "marker": {"size": 6, "symbol": "square"}},
    "default": {"line": {"color": ORANGE, "width": 2.2, "dash": "dash"}, "marker": {"size": 8, "symbol": "diamond"}},
    "best": {"line": {"color": BLUE, "width": 2.8}, "marker": {"size": 8}},
}
"""In the order in which they are drawn, the last on top."""

CROWD = 60
"""Of more trials than this the lines that don't stand out are half transparent."""


def curves_chart(results: Results, *, rungs: Sequence[int], budget: str) -> go.Figure | None:
    """A line a trial, in one trace for each kind of trial: a thousand of their own would take a browser seconds.

    Args:
        rungs: where trials were compared, in thousandths of the full budget, ascending.
        budget: what the full budget is, such as "200 M voxels".
    """
    curves = results.curves.dropna(subset="score")
    if curves.empty:
        return None
    places, scale = dice_places(list(curves["score"]))
    steps = [int(step) for step in curves["step"]]
    by_trial: dict[int, list[_Point]] = {}
    for number, step, score, place in zip(curves["number"], steps, curves["score"], places, strict=True):
        by_trial.setdefault(int(number), []).append((step, float(score), place))
    kinds = {number: _kind(results, number, points[-1][0]) for number, points in by_trial.items()}
    traces = []
    for kind, look in LOOKS.items():
        members = {number: points for number, points in by_trial.items() if kinds[number] == kind}
        if members:
            crowded = len(by_trial) > CROWD and kind in ("stopped", "finished")
            traces.append(_trace(results, kind, members, {**look, "opacity": 0.7 if crowded else 1.0}))
    reached = {rung: steps.count(rung) for rung in rungs}
    return chart(
        traces,
        caption=f"Mean validation Dice of every trial over the training budget; the full one is {budget}. Below each "
        f"budget at which trials are compared stands how many reached it.{dice_note(scale)} The end of a line tells "
        "its trial's parameters.",
        height=440,
        xaxis={
            "title": {"text": "share of the full budget (log scale)"},
            "type": "log",
            "tickvals": [rung / FULL_BUDGET for rung in rungs],
            "ticktext": [f"{_percent(rung / FULL_BUDGET)}<br>{count(reached[rung], 'trial')}" for rung in rungs],
            "range": _log_range(min([*rungs, *steps]) / FULL_BUDGET),
        },
        yaxis=dice_axis(scale, "mean validation Dice"),
        legend={"traceorder": "reversed"},
    )


_Point = tuple[int, float, float | None]
"""Step, Dice, and where it stands on the axis."""


def _kind(results: Results, number: int, step: int) -> str:
    if results.best and results.best.number == number:
        return "best"
    if results.default and results.default.number == number:
        return "default"
    if any(trial.user_attrs["of"] == number for trial in results.confirm_trials):
        return "confirmed"
    return "finished" if step == FULL_BUDGET else "stopped"


def _trace(results: Results, kind: str, members: Mapping[int, Sequence[_Point]], look: Mapping[str, Any]) -> go.Scatter:
    """The curves of several trials, with a gap between one and the next."""
    x: list[float | None] = []
    y: list[float | None] = []
    told: list[list[Any]] = []
    for number, points in members.items():
        for step, score, place in points:
            x.append(step / FULL_BUDGET)
            y.append(place)
            told.append([number, rounded(score), ""])
        told[-1][2] = "<br>" + details(results.sweep_trials[number])
        x.append(None)
        y.append(None)
        told.append([])
    return go.Scatter(
        x=x[:-1],
        y=y[:-1],
        customdata=told[:-1],
        mode="lines+markers",
        name=_name(kind, members),
        hovertemplate="trial %{customdata[0]}<br>Dice %{customdata[1]:.4f} at %{x:.3~p} of the budget"
        "%{customdata[2]}<extra></extra>",
        **look,
    )


def _name(kind: str, members: Iterable[int]) -> str:
    if kind in ("best", "default"):
        return f"{kind}: trial {next(iter(members))}"
    return {
        "confirmed": "trained again with other seeds",
        "finished": "other trials at the full budget",
        "stopped": "not at the full budget",
    }[kind]


def _log_range(lowest: float) -> list[float]:
    """From a little left of the first point to as much right of the full budget."""
    left = math.log10(lowest)
    room = 0.04 * max(-left, 0.3)
    return [left - room, room]


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.0995 else f"{share * 100:.2g}%"
