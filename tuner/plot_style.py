"""How all of the report's pictures look: 900 pixels wide on a page, drawn at twice that, legible without colour."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WIDTH = 9.0
"""Inches, at 200 pixels each."""

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
"""From the palette of Okabe and Ito, which the colour-blind tell apart; all else is grey."""

INK, SLATE, GREY, FAINT = "#24292F", "#57606A", "#BCC2C9", "#E6E9ED"

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

HIGHEST_DICE = 0.999
DICE_TICKS = (0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.825, 0.85, 0.875, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99)


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
    """Dice on a log scale of the error 1 - Dice: from 0.80 to 0.90 is as far as from 0.60 to 0.80.

    Good trials differ by a hundredth where bad ones differ by tenths. Scores that can't be Dice stay on a linear scale.
    Returns what a reader is to know of the scale.
    """
    grid_across(axes)
    if scores.empty or not scores.between(0, HIGHEST_DICE).all():
        return ""
    low, high = 1 - (1 - scores.min()) * 1.08, 1 - (1 - scores.max()) * 0.92
    axes.set_yscale("function", functions=(lambda dice: -np.log(np.maximum(1 - dice, 1e-6)), lambda y: 1 - np.exp(-y)))
    axes.set_ylim(low, high)
    ticks = [tick for tick in DICE_TICKS if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    return "The height is on a log scale of 1 - Dice."
