"""The interactive parallel coordinates: every trial's parameters, coloured by what it reached at the full budget."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from search_spaces.parameters import Choice, Float, Int
from tuner.best import Run
from tuner.charts_style import apart, chart, rounded
from tuner.charts_text import plain, shown
from tuner.dice_scale import dice_scale
from tuner.importance import Importance
from tuner.markdown import count
from tuner.palette import GREY, INK, SLATE
from tuner.results import Results
from tuner.rungs import FULL_BUDGET

MOST_TICKS = 6
"""A range of so few values has a tick at each."""

AXIS_WIDTH = 80
"""Pixels from one axis to the next that their labels need."""

MOST_PARAMETERS = 8
"""Axes for parameters; of more the most important."""

COLOURS = ("#F1A340", "#D8576B", "#8B0AA5", "#0D0887")
"""Low Dice to high: plotly's Plasma without its yellow, which is faint on white."""

PALE = "#D5D9DE"
GREY_SHARE = 0.02
"""The part of the colour scale, at its lower end, of trials that ended before the full budget."""

LEAST_SPAN = 0.01
"""Of Dice that the colour scale covers."""


def parallel_chart(results: Results, importance: Importance | None) -> go.Figure | None:
    """A line a trial that was evaluated. Coloured are those at the full budget alone: a low rung's is no final score.

    Drawn with plotly itself: Optuna's function leaves out what was stopped, which is most of what was tried.
    """
    runs = [run for run in results.standings if math.isfinite(run.score)]
    if not runs:
        return None
    finished = [run for run in runs if run.finished]
    searched = results.space.searched
    chosen = list(searched)
    if len(chosen) > MOST_PARAMETERS:
        order = list(importance.shares) if importance else chosen
        kept = set([*order, *chosen][:MOST_PARAMETERS])
        chosen = [name for name in chosen if name in kept]
    parameters = {run.number: results.sweep_trials[run.number].params for run in runs}
    dimensions = [_dimension(name, searched[name], [parameters[run.number][name] for run in runs]) for name in chosen]
    dimensions += [_budget_axis(runs), _dice_axis(runs)]
    others = len(runs) - len(finished)
    return chart(
        [
            go.Parcoords(
                dimensions=dimensions,
                line=_colours(runs, finished),
                labelangle=-25,
                labelside="top",
                labelfont={"color": INK, "size": 12},
                tickfont={"color": SLATE, "size": 11},
                rangefont={"color": "rgba(0,0,0,0)", "size": 1},
                unselected={"line": {"color": GREY, "opacity": 0.15}},
            )
        ],
        caption=_caption(len(finished), others, len(chosen), len(searched)),
        height=450,
        least_width=90 + AXIS_WIDTH * (len(dimensions) - 1),
        margin={"l": 46, "r": 46, "t": 96, "b": 24},
    )


def _dimension(name: str, parameter: Choice | Float | Int, values: Sequence[Any]) -> dict[str, Any]:
    """The axis of a parameter, over all that the space allows."""
    if isinstance(parameter, Choice):
        places = {value: place for place, value in enumerate(parameter.values)}
        return {
            "label": shown(name),
            "values": [places[value] for value in values],
            "range": [-0.1, len(places) - 0.9],
            "tickvals": list(places.values()),
            "ticktext": [plain(value, longest=12) for value in places],  # plotly writes these as they are
        }
    if not parameter.log:
        axis = {
            "label": shown(name),
            "values": [rounded(value) for value in values],
            "range": [parameter.low, parameter.high],
        }
        size = parameter.size()
        if size is None or size > MOST_TICKS:
            return axis
        ticks = parameter.grid()
        return {**axis, "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
    low, high = math.log10(parameter.low), math.log10(parameter.high)
    ticks = [10.0**power for power in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)]
    if len(ticks) < 2:
        ticks = [parameter.low, *ticks, parameter.high]
    return {
        "label": shown(name),
        "values": [rounded(math.log10(value)) for value in values],
        "range": [low, high],
        "tickvals": [math.log10(tick) for tick in ticks],
        "ticktext": [f"{tick:.3g}" for tick in ticks],
    }


def _budget_axis(runs: Sequence[Run]) -> dict[str, Any]:
    steps = sorted({run.step for run in runs})
    return {
        "label": "budget",
        "values": [math.log10(run.step) for run in runs],
        "range": [math.log10(steps[0] * 0.9), math.log10(FULL_BUDGET * 1.02)],
        "tickvals": [math.log10(step) for step in steps],
        "ticktext": [f"{step / FULL_BUDGET:.2g}" if step < FULL_BUDGET else "full" for step in steps],
    }


def _dice_axis(runs: Sequence[Run]) -> dict[str, Any]:
    """Dice at the budget of the axis before, on a log scale of the error where it can be one."""
    scale = dice_scale(pd.Series([run.score for run in runs], dtype=float))
    if scale is None:
        return {"label": "score there", "values": [rounded(run.score) for run in runs]}
    ticks = apart(scale, 0.07)
    return {
        "label": "Dice there",
        "values": [rounded(-math.log10(1 - run.score)) for run in runs],
        "range": [-math.log10(1 - scale.low), -math.log10(1 - scale.high)],
        "tickvals": [-math.log10(1 - tick) for tick in ticks],
        "ticktext": [f"{tick:g}" for tick in ticks],
    }


def _colours(runs: Sequence[Run], finished: Sequence[Run]) -> dict[str, Any]:
    """Dice at the full budget in colour, all else grey, with a bar that tells them apart."""
    if not finished:
        return {"color": PALE}
    low, high = min(run.score for run in finished), max(run.score for run in finished)
    ticks = [low, (low + high) / 2, high] if high > low else [high]
    low = low if high > low else high - LEAST_SPAN  # a single one is the best
    span = high - low
    floor = low - span * GREY_SHARE / (1 - GREY_SHARE)
    stops = [
        (GREY_SHARE + (1 - GREY_SHARE) * place / (len(COLOURS) - 1), colour) for place, colour in enumerate(COLOURS)
    ]
    return {
        "color": [rounded(run.score if run.finished else floor, 9) for run in runs],
        # Grey ends half way to the lowest Dice: what is drawn has fewer steps than numbers have.
        "colorscale": [[0, PALE], [GREY_SHARE / 2, PALE], [GREY_SHARE / 2, COLOURS[0]], *map(list, stops)],
        "cmin": floor,
        "cmax": low + span,
        "showscale": True,
        "colorbar": {
            "orientation": "h",
            "y": -0.02,
            "yanchor": "top",
            "thickness": 8,
            "outlinewidth": 0,
            "tickangle": 0,
            "tickvals": ticks,
            "ticktext": [f"{tick:.3f}" for tick in ticks],
            "title": {"text": "Dice at the full budget", "side": "top", "font": {"color": SLATE, "size": 12}},
        },
    }


def _caption(finished: int, others: int, axes: int, searched: int) -> str:
    text = f"Each line is a trial: {finished} in colour that reached the full budget"
    text += f", and in grey {others} whose Dice is that of a lower one." if others else "."
    if axes < searched:
        text += f" Of {count(searched, 'parameter')} the {axes} most important are shown."
    return text
