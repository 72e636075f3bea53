"""The interactive charts of Dice against what a trial takes, with the Pareto front."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go

from tuner.charts_style import chart, dice_axis, dice_note, dice_places, log_axis, rounded
from tuner.charts_text import details, names
from tuner.durations import time_unit
from tuner.markdown import count
from tuner.palette import AMBER, BLUE, GREY, ORANGE, SLATE
from tuner.pareto import pareto_front
from tuner.results import OBJECTIVES, Results
from tuner.rungs import FULL_BUDGET

Cost = Literal["training_seconds", "peak_gib"]

WIDE = 15.0
"""With a highest cost so many times the lowest its axis is a log scale."""

LOOKS: Mapping[str, dict[str, Any]] = {
    "ended before the full budget": {"color": GREY, "size": 5, "symbol": "x-thin", "line": {"width": 1, "color": GREY}},
    "reached the full budget": {"color": SLATE, "size": 8, "symbol": "circle-open", "line": {"width": 1.5}},
    "on the Pareto front": {"color": BLUE, "size": 9},
}


def front_chart(results: Results, cost: Cost) -> go.Figure | None:
    """A point each evaluated trial; upper left is better. None where no trial tells the cost.

    The front is drawn through the trials that reached the full budget. With several objectives the trials of the front
    over all of them are ringed too: of more than two it is a surface, which no line bounds.
    """
    trials = results.trials.dropna(subset=["score", cost])
    trials = trials[trials[cost] > 0]
    if trials.empty:
        return None
    costs = [float(value) for value in trials[cost]]
    factor, unit = time_unit(max(costs)) if cost == "training_seconds" else (1.0, "GiB")
    places, scale = dice_places(list(trials["score"]))
    points = [
        _Point(int(number), value / factor, float(score), place, int(step))
        for number, value, score, place, step in zip(
            trials["number"], costs, trials["score"], places, trials["step"], strict=True
        )
    ]
    full = [point for point, state in zip(points, trials["state"], strict=True) if state == "COMPLETE"]
    front = [full[place] for place in pareto_front([p.cost for p in full], [p.score for p in full])]
    told = _Told(results, f"{OBJECTIVES[cost]} %{{x:.4~g}} {unit}")
    groups = {
        "ended before the full budget": [point for point in points if point not in full],
        "reached the full budget": [point for point in full if point not in front],
        "on the Pareto front": front,
    }
    traces = [told.scatter(members, name, LOOKS[name]) for name, members in groups.items() if members]
    if front:
        traces.insert(-1, _steps(front))
    traces += _rings(told, results, points)
    log = max(costs) > WIDE * min(costs)
    return chart(
        traces,
        caption=f"Mean validation Dice of {count(len(points), 'trial')} against {OBJECTIVES[cost]}; upper left is "
        f"better. {_about_front(len(full))}{dice_note(scale)}",
        height=440,
        xaxis={
            "title": {"text": f"{OBJECTIVES[cost]} ({unit}{', log scale' if log else ''})"},
            **(log_axis(min(costs) / factor, max(costs) / factor) if log else {"rangemode": "tozero"}),
        },
        yaxis=dice_axis(scale, "mean validation Dice"),
        legend={"traceorder": "reversed"},
    )


@dataclass(frozen=True)
class _Point:
    number: int
    cost: float
    score: float
    place: float | None
    step: int


@dataclass(frozen=True)
class _Told:
    """Makes points that say who they are."""

    results: Results
    cost: str

    def scatter(self, points: list[_Point], name: str, marker: Mapping[str, Any]) -> go.Scatter:
        trials = self.results.sweep_trials
        return go.Scatter(
            x=[rounded(point.cost) for point in points],
            y=[point.place for point in points],
            customdata=[
                [
                    point.number,
                    rounded(point.score),
                    point.step / FULL_BUDGET,
                    details(trials[point.number]),
                ]
                for point in points
            ],
            mode="markers",
            name=name,
            marker=dict(marker),
            hovertemplate="trial %{customdata[0]}<br>Dice %{customdata[1]:.4f} at %{customdata[2]:.3~p} of the budget"
            f"<br>{self.cost}<br>%{{customdata[3]}}<extra></extra>",
        )


def _steps(front: list[_Point]) -> go.Scatter:
    return go.Scatter(
        x=[rounded(point.cost) for point in front],
        y=[point.place for point in front],
        mode="lines",
        line={"color": BLUE, "width": 1.2, "shape": "hv"},
        hoverinfo="skip",
        showlegend=False,
    )


def _rings(told: _Told, results: Results, points: list[_Point]) -> list[go.Scatter]:
    """Around the best and the default trial, and with several objectives around the front over all of them."""
    rings = []
    if len(results.objectives) > 2:
        members = [point for point in points if point.number in results.front]
        look = {"color": AMBER, "size": 15, "symbol": "circle-open", "line": {"width": 2}}
        rings.append(told.scatter(members, "on the front of all objectives", look))
    for number, name in reversed(names(results).items()):
        members = [point for point in points if point.number == number]
        look = {"color": ORANGE if name == "default" else BLUE, "size": 14, "line": {"width": 2.2}}
        look["symbol"] = "diamond-open" if name == "default" else "star-open"
        rings.append(told.scatter(members, f"{name}: trial {number}", look))
    return [ring for ring in rings if ring.x]


def _about_front(full: int) -> str:
    if not full:
        return "No trial has reached the full budget, so no front is drawn."
    return (
        f"The line is the Pareto front of the {count(full, 'trial')} at the full budget; others are as last evaluated."
    )
