"""How all of the report's pictures look: 900 pixels wide on a page, drawn at twice that, legible without colour."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tuner.dice_scale import dice_scale
from tuner.palette import FAINT, GREY, INK, SLATE

WIDTH = 9.0
"""Inches, at 200 pixels each."""

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": SLATE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": SLATE,
    "ytick.color": SLATE,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
}


def canvas(*, height: float, box: tuple[float, float, float, float]) -> tuple[Figure, Axes]:
    """A figure `height` inches high with one pair of axes in `box` (left, bottom, width, height; shares of it)."""
    figure = Figure(figsize=(WIDTH, height), dpi=200, facecolor="white")
    FigureCanvasAgg(figure)
    return figure, figure.add_axes(box)


def title(figure: Figure, text: str, explanation: str) -> None:
    """What the figure shows in a bold line, and how to read it in a second."""
    height = figure.get_figheight()
    figure.text(0.015, 1 - 0.30 / height, text, fontsize=13, fontweight="bold", va="center")
    figure.text(0.015, 1 - 0.55 / height, explanation, color=SLATE, va="center")


def grid_across(axes: Axes) -> None:
    """Faint lines at the heights of the ticks, behind what is drawn."""
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)


def dice_axis(axes: Axes, scores: pd.Series) -> str:
    """Dice on a log scale of the error, see `dice_scale`; scores that can't be Dice stay on a linear one.

    Returns what a reader is to know of the scale.
    """
    grid_across(axes)
    scale = dice_scale(scores)
    if scale is None:
        return ""
    axes.set_yscale("function", functions=(lambda dice: -np.log(np.maximum(1 - dice, 1e-6)), lambda y: 1 - np.exp(-y)))
    axes.set_ylim(scale.low, scale.high)
    axes.set_yticks(scale.ticks, [f"{tick:g}" for tick in scale.ticks])
    return "The height is on a log scale of 1 - Dice."
