"""The interactive charts of Dice against what a trial takes, with the Pareto front."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go

from tuner.charts_style import chart, dice_axis, dice_note, dice_places, log_axis, rounded
from tuner.charts_text import details, names
from tuner.dice_scale import dice_scale
from tuner.durations import time_unit
from tuner.markdown import count
from tuner.palette import AMBER, BLUE, GREY, ORANGE, SLATE
from tuner.pareto import pareto_front
from tuner.results import OBJECTIVES, Results
from tuner.rungs import FULL_BUDGET

Cost = Literal["training_seconds", "peak_gib"]

WIDE = 15.0
"""With a highest cost so many times the lowest its axis is a log scale."""

NARROW = 2.0
"""With one less than so many times the lowest it does not begin at 0."""

FAR = 2.5
"""Trials with so many times the error of the worst one at the full budget are left out: they would press the others,
which it is about, to the top."""

LOOKS: Mapping[str, dict[str, Any]] = {
    "not at the full budget": {"color": GREY, "size": 5, "symbol": "x-thin", "line": {"width": 1, "color": GREY}},
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
    kept = trials[~_far(trials)]
    if kept.empty:
        return None
    costs = [float(value) for value in kept[cost]]
    factor, unit = time_unit(max(costs)) if cost == "training_seconds" else (1.0, "GiB")
    places, scale = dice_places(list(kept["score"]))
    facts = zip(kept["number"], costs, kept["score"], places, kept["step"], kept["state"], strict=True)
    points = [
        _Point(int(number), value / factor, float(score), place, int(step), state == "COMPLETE")
        for number, value, score, place, step, state in facts
    ]
    full = [point for point in points if point.finished]
    front = [full[place] for place in pareto_front([p.cost for p in full], [p.score for p in full])]
    told = _Told(results, f"{OBJECTIVES[cost]} %{{x:.4~g}} {unit}")
    on_front = {point.number for point in front}
    groups = {
        "not at the full budget": [point for point in points if not point.finished],
        "reached the full budget": [point for point in full if point.number not in on_front],
        "on the Pareto front": front,
    }
    traces = [told.scatter(members, name, LOOKS[name]) for name, members in groups.items() if members]
    if front:
        traces.insert(-1, _steps(front))
    traces += _rings(told, results, points)
    log = max(costs) > WIDE * min(costs)
    caption = (
        f"Mean validation Dice of {count(len(points), 'trial')} against {OBJECTIVES[cost]}; upper left is better. "
    )
    caption += _about_front(len(full), len(points) - len(full))
    if len(results.objectives) > 2:
        caption += " Ringed are those that no other beats in all objectives at once."
    if len(kept) < len(trials):
        caption += f" Left out: {len(trials) - len(kept)} that ended early with a Dice far below those."
    axis = log_axis(min(costs) / factor, max(costs) / factor) if log else {}
    if max(costs) > NARROW * min(costs) and not log:
        axis = {"rangemode": "tozero"}
    return chart(
        traces,
        caption=caption + dice_note(scale),
        height=440,
        xaxis={"title": {"text": f"{OBJECTIVES[cost]} ({unit}{', log scale' if log else ''})"}, **axis},
        yaxis=dice_axis(scale, "mean validation Dice"),
        legend={"traceorder": "reversed"},
    )


def _far(trials: pd.DataFrame) -> pd.Series:
    """Which of the trials ended early and far below all that did not."""
    worst = trials["score"][trials["state"] == "COMPLETE"].min()
    if dice_scale(trials["score"]) is None or math.isnan(worst):
        return pd.Series(False, index=trials.index)
    return trials["score"] < 1 - FAR * (1 - worst)


@dataclass(frozen=True)
class _Point:
    number: int
    cost: float
    score: float
    place: float | None
    step: int
    finished: bool


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


def _about_front(full: int, others: int) -> str:
    if not full:
        return "No trial has reached the full budget, so no front is drawn."
    text = f"The line is the Pareto front of the {count(full, 'trial')} at the full budget"
    return text + ("; the others' Dice is of a lower one." if others else ".")
