"""The interactive chart of several sweeps: the best Dice that each had found, over the time it had searched."""

from collections.abc import Sequence
from itertools import cycle

import plotly.graph_objects as go

from tuner.charts_style import chart, dice_axis, dice_note, dice_places
from tuner.charts_text import shown
from tuner.comparison import Compared
from tuner.palette import BLUE, GREEN, ORANGE, SLATE

LINES = (BLUE, "solid"), (ORANGE, "dash"), (GREEN, "dot"), (SLATE, "dashdot")
"""One a sweep, told apart without colour too."""


def best_so_far_chart(sweeps: Sequence[Compared]) -> go.Figure | None:
    """A step line a sweep; None before a trial has reached the full budget."""
    curves = {sweep.label: (sweep, sweep.best_so_far) for sweep in sweeps}
    scores = [score for _, curve in curves.values() for score in curve["score"]]
    if not scores:
        return None
    places, scale = dice_places(scores)
    at, traces = iter(places), []
    longest = max(sweep.searched_seconds for sweep in sweeps)
    unit, length = ("h", 3600) if longest > 7200 else ("min", 60)
    for (label, (sweep, curve)), (colour, dash) in zip(curves.items(), cycle(LINES), strict=False):
        if curve.empty:
            continue
        y = [next(at) for _ in range(len(curve))]
        x = [seconds / length for seconds in curve["seconds"]]
        told = [[int(number), float(score)] for number, score in zip(curve["number"], curve["score"], strict=True)]
        traces.append(
            go.Scatter(
                x=[*x, max(x[-1], sweep.searched_seconds / length)],  # until its last trial ended
                y=[*y, y[-1]],
                customdata=[*told, told[-1]],
                mode="lines+markers",
                name=shown(label),
                line={"color": colour, "width": 2.2, "dash": dash, "shape": "hv"},
                marker={"size": 6},
                hovertemplate="%{fullData.name}<br>trial %{customdata[0]}: Dice %{customdata[1]:.4f}<br>"
                f"after %{{x:.3~r}} {unit}<extra></extra>",
            )
        )
    return chart(
        traces,
        caption="The highest validation Dice of a trial that had reached the full budget, over the time since the "
        f"sweep's first trial began, pauses included.{dice_note(scale)}",
        height=400,
        xaxis={"title": {"text": f"time since the first trial began ({unit})"}, "rangemode": "tozero"},
        yaxis=dice_axis(scale, "best validation Dice"),
    )
