"""The picture of a search for several objectives: Dice against each of the others, the Pareto front marked."""

from collections.abc import Mapping

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from tuner.config import Objective
from tuner.palette import BLUE, FAINT, GREY, INK, ORANGE, SLATE
from tuner.plot_style import STYLE, canvas, dice_axis, title
from tuner.results import OBJECTIVES, Results

UNITS: Mapping[Objective, str] = {"training_seconds": "s", "peak_gib": "GiB"}

LABELLED = 12
"""With more trials than this on the front only the best and the default one are named."""


def front_chart(results: Results) -> Figure | None:
    """A panel for each objective beside Dice; None where there is no front."""
    others = [objective for objective in results.objectives if objective != "dice"]
    trials = results.trials.dropna(subset=["score", *others])
    if not results.front or trials.empty:
        return None
    with matplotlib.rc_context(STYLE):
        figure, first = canvas(height=4.6, box=(0.07, 0.125, 0.9 / len(others) - 0.05, 0.7))
        panels = [first]
        for place in range(1, len(others)):
            box = (0.07 + place * 0.93 / len(others), 0.125, 0.9 / len(others) - 0.05, 0.7)
            panels.append(figure.add_axes(box, sharey=first))
        scale = dice_axis(first, trials["score"])
        for axes, objective in zip(panels, others, strict=True):
            _panel(axes, results, trials, objective, joined=len(others) == 1)
        title(
            figure,
            f"Mean validation Dice against {' and '.join(OBJECTIVES[name] for name in others)}",
            f"Each point is a trial; no other beats the filled ones in all objectives (Pareto front). {scale}",
        )
    return figure


def _panel(axes: Axes, results: Results, trials: pd.DataFrame, objective: Objective, *, joined: bool) -> None:
    """One point a finished trial; upper left is better."""
    trials = trials[trials["state"] == "COMPLETE"]
    front = trials[trials["on_front"]].sort_values(objective)
    rest = trials[~trials["on_front"]]
    axes.grid(color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.scatter(rest[objective], rest["score"], s=26, facecolor="none", edgecolor=GREY, linewidth=1.2, zorder=2)
    if joined:  # of more than two objectives the front is a surface, and no line in any panel bounds it
        axes.step(front[objective], front["score"], where="post", color=BLUE, linewidth=1.2, alpha=0.6, zorder=2)
    axes.scatter(front[objective], front["score"], s=36, color=BLUE, zorder=3)
    for number, x, y in zip(trials["number"], trials[objective], trials["score"], strict=True):
        _label(axes, results, int(number), (x, y))
    default = trials[trials["number"] == results.default.number] if results.default else trials[:0]
    axes.scatter(default[objective], default["score"], s=60, facecolor="none", edgecolor=ORANGE, linewidth=2, zorder=4)
    axes.set_xlabel(f"{OBJECTIVES[objective]} ({UNITS[objective]})", color=SLATE)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.margins(x=0.12)


def _label(axes: Axes, results: Results, number: int, point: tuple[float, float]) -> None:
    """A trial's number beside its point: of the best and the default one to the right, else where the front is free."""
    if results.best and number == results.best.number:
        text, colour, offset, side = f"{number} best Dice", BLUE, (6, 4), "left"
    elif results.default and number == results.default.number:
        text, colour, offset, side = f"{number} default", ORANGE, (7, -12), "left"
    elif number in results.front and len(results.front) <= LABELLED:
        text, colour, offset, side = str(number), SLATE, (-4, 4), "right"
    else:
        return
    note = axes.annotate(text, point, offset, textcoords="offset points", ha=side, color=colour, fontsize=9, zorder=5)
    note.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
