"""The report's pictures: 900 pixels wide on a page, drawn at twice that, legible without colour."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from tuner.best import Run
from tuner.importance import Importance
from tuner.results import Results
from tuner.rungs import FULL_BUDGET

BLUE, ORANGE = "#0072B2", "#D55E00"
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

LOOKS: Mapping[str, dict[str, Any]] = {
    "best": {"color": BLUE, "linewidth": 2.8, "markersize": 7, "zorder": 5},
    "default": {"color": ORANGE, "linewidth": 2.2, "markersize": 6, "zorder": 4},
    "finished": {"color": SLATE, "linewidth": 1.2, "markersize": 4, "zorder": 3},
    "stopped": {"color": GREY, "linewidth": 0.9, "markersize": 3, "zorder": 2},
}

LABELLED = 6
"""The best so many of the finished trials get a label beside their curve."""

HIGHEST_DICE = 0.999
DICE_TICKS = (0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.825, 0.85, 0.875, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99)
CROWD = 60
"""With more trials than this their lines are drawn half transparent."""

LABEL_GAP = 0.045
"""Smallest distance of two labels, as a share of the axes' height."""


def learning_curves(results: Results, *, rungs: Sequence[int], budget: str) -> Figure:
    """Validation Dice of every trial of the sweep over the budget; the best and the default one stand out.

    Args:
        rungs: where trials were compared, in thousandths of the full budget, ascending.
        budget: what the full budget is, such as "200 M voxels".
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _canvas(height=5.2, box=(0.06, 0.115, 0.69, 0.715))
        curves = results.curves
        named = [run.number for run in results.ranking if run.finished][:LABELLED]
        dense = {"alpha": 0.5} if len(results.ranking) > CROWD else {}
        labels = []
        for trial in results.sweep_trials:
            number, rows = trial.number, curves[curves["number"] == trial.number]
            if rows.empty:
                continue
            kind = _kind(results, Run.of("sweep", trial))
            stands_out = kind in ("best", "default")
            look = LOOKS[kind] | ({} if stands_out else dense)
            axes.plot(rows["step"], rows["score"], marker="o", markeredgewidth=0, clip_on=False, **look)
            step, score = int(rows["step"].iloc[-1]), float(rows["score"].iloc[-1])
            text = f"{score:.3f}  trial {number}" + (f"  {kind}" if stands_out else "")
            if step == FULL_BUDGET and (number in named or stands_out):
                labels.append((score, text, look["color"]))
            elif stands_out:
                _label_inside(axes, step, score, text, look["color"])
        _rung_axis(axes, results, rungs)
        scale = _dice_axis(axes, curves["score"].astype(float))
        axes.set_xlabel(f"training budget, as a share of {budget} (log scale)")
        _label_ends(axes, labels)
        pale = "; pale ones did not reach the full budget" if not all(run.finished for run in results.ranking) else ""
        _title(figure, "Mean validation Dice over the training budget", f"Each line is a trial{pale}. {scale}")
    return figure


def importance_chart(importance: Importance) -> Figure:
    """A bar for each parameter, and how long it may be by chance."""
    names = list(importance.shares)
    with matplotlib.rc_context(STYLE):
        height = 1.5 + 0.36 * len(names)
        figure, axes = _canvas(height=height, box=(0.2, 0.62 / height, 0.72, 1 - 1.3 / height))
        for place, name in enumerate(reversed(names)):
            share, chance = importance.shares[name], importance.chance[name]
            axes.barh(place, share, height=0.58, color=BLUE if share > chance else GREY, zorder=2)
            axes.plot([chance, chance], [place - 0.38, place + 0.38], color=INK, linewidth=1.4, zorder=3)
            axes.annotate(f"{share:.0%}", (max(share, chance), place), (7, 0), textcoords="offset points", va="center")
        axes.set_yticks(range(len(names)), list(reversed(names)))
        axes.tick_params(axis="y", labelcolor=INK, labelsize=10.5)
        axes.set_xlim(0, max(1.0, *importance.chance.values()) * 1.08)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.grid(axis="x", color=FAINT, linewidth=0.8, zorder=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("share of importance (PED-ANOVA)")
        _title(
            figure,
            "Which parameters set the best trials apart",
            f"Best {importance.best} of {importance.trials} trials. A bar that does not pass its black mark "
            "may be chance (95% level).",
        )
    return figure


def _canvas(*, height: float, box: tuple[float, float, float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9, height), dpi=200, facecolor="white")
    FigureCanvasAgg(figure)
    return figure, figure.add_axes(box)


def _title(figure: Figure, title: str, explanation: str) -> None:
    height = figure.get_figheight()
    figure.text(0.015, 1 - 0.30 / height, title, fontsize=13, fontweight="bold", va="center")
    figure.text(0.015, 1 - 0.55 / height, explanation, color=SLATE, va="center")


def _kind(results: Results, run: Run) -> str:
    if results.best and results.best.number == run.number:
        return "best"
    if results.default and results.default.number == run.number:
        return "default"
    return "finished" if run.finished else "stopped"


def _rung_axis(axes: Axes, results: Results, rungs: Sequence[int]) -> None:
    """Budgets on a log scale, so that rungs stand evenly; above each rung how many trials reached it."""
    steps = results.curves["step"]
    axes.set_xscale("log")
    axes.set_xlim(min([*rungs, *steps.astype(int)]) * 0.9, FULL_BUDGET)
    axes.set_xticks(list(rungs), [_percent(step / FULL_BUDGET) for step in rungs])
    axes.minorticks_off()
    for rung in rungs:
        axes.axvline(rung, color=FAINT, linewidth=1.2, zorder=1, clip_on=False)
        reached = int((steps == rung).sum())
        axes.annotate(
            f"{reached} trial{'s' * (reached != 1)}",
            (rung, 1),
            (0, 6),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            color=SLATE,
            fontsize=9,
        )


def _dice_axis(axes: Axes, scores: pd.Series) -> str:
    """Dice on a log scale of the error 1 - Dice: from 0.80 to 0.90 is as far as from 0.60 to 0.80.

    Good trials differ by a hundredth where bad ones differ by tenths. Scores that can't be Dice stay on a linear scale.
    Returns what a reader is to know of the scale.
    """
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    if scores.empty or not scores.between(0, HIGHEST_DICE).all():
        return ""
    low, high = 1 - (1 - scores.min()) * 1.08, 1 - (1 - scores.max()) * 0.92
    axes.set_yscale("function", functions=(lambda dice: -np.log(np.maximum(1 - dice, 1e-6)), lambda y: 1 - np.exp(-y)))
    axes.set_ylim(low, high)
    ticks = [tick for tick in DICE_TICKS if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    return "The height is on a log scale of 1 - Dice."


def _label_inside(axes: Axes, step: int, score: float, text: str, colour: str) -> None:
    """Text beside a curve that ends before the full budget."""
    axes.annotate(
        text,
        (step, score),
        (9, 0),
        textcoords="offset points",
        va="center",
        color=colour,
        fontweight="bold",
        zorder=6,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5},
    )


def _label_ends(axes: Axes, labels: Sequence[tuple[float, str, str]]) -> None:
    """Score, text and colour beside the ends of the curves, moved apart where they would touch."""
    to_axes = axes.transData + axes.transAxes.inverted()
    place = 1.0 + LABEL_GAP
    for score, text, colour in sorted(labels, reverse=True):
        end = to_axes.transform((FULL_BUDGET, score))[1]
        place = min(end, place - LABEL_GAP)
        axes.plot([1.012, 1.034], [end, place], transform=axes.transAxes, color=GREY, linewidth=0.8, clip_on=False)
        weight = "normal" if colour == SLATE else "bold"
        axes.text(1.042, place, text, transform=axes.transAxes, va="center", color=colour, fontweight=weight)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.0995 else f"{share * 100:.2g}%"
