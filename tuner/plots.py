"""The report's pictures of the search: learning curves, and what parameters matter."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from tuner.best import Run
from tuner.importance import Importance
from tuner.markdown import count
from tuner.palette import BLUE, FAINT, GREY, INK, ORANGE, SLATE
from tuner.plot_style import STYLE, canvas, dice_axis, title
from tuner.results import Results
from tuner.rungs import FULL_BUDGET

LOOKS: Mapping[str, dict[str, Any]] = {
    "best": {"color": BLUE, "linewidth": 2.8, "markersize": 7, "zorder": 5},
    "default": {"color": ORANGE, "linewidth": 2.2, "markersize": 6, "zorder": 4},
    "finished": {"color": SLATE, "linewidth": 1.2, "markersize": 4, "zorder": 3},
    "stopped": {"color": GREY, "linewidth": 0.9, "markersize": 3, "zorder": 2},
}

LABELLED = 6
"""The best so many of the finished trials get a label beside their curve."""

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
        figure, axes = canvas(height=5.2, box=(0.06, 0.115, 0.69, 0.715))
        curves = results.curves
        named = [run.number for run in results.standings if run.finished][:LABELLED]
        dense = {"alpha": 0.5} if len(results.standings) > CROWD else {}
        labels, drawn = [], dict[str, list[tuple[float, float]]]()
        for number, rows in curves.groupby("number", sort=False):
            kind = _kind(results, Run.of("sweep", results.sweep_trials[int(str(number))]))
            stands_out, colour = kind in ("best", "default"), LOOKS[kind]["color"]
            drawn.setdefault(kind, []).extend([*zip(rows["step"], rows["score"], strict=True), (math.nan, math.nan)])
            step, score = int(rows["step"].iloc[-1]), float(rows["score"].iloc[-1])
            text = f"{score:.3f}  trial {number}" + (f"  {kind}" if stands_out else "")
            if step == FULL_BUDGET and (number in named or stands_out):
                labels.append((score, text, colour))
            elif stands_out:
                _label_inside(axes, step, score, text, colour)
        for kind, points in drawn.items():  # a line for each trial would take seconds to draw where they are many
            look = LOOKS[kind] | ({} if kind in ("best", "default") else dense)
            axes.plot(*zip(*points, strict=True), marker="o", markeredgewidth=0, clip_on=False, **look)
        _rung_axis(axes, results, rungs)
        scale = dice_axis(axes, curves["score"].astype(float))
        axes.set_xlabel(f"training budget, as a share of {budget} (log scale)")
        _label_ends(axes, labels)
        pale = "; pale ones did not reach the full budget" if not all(run.finished for run in results.standings) else ""
        title(figure, "Mean validation Dice over the training budget", f"Each line is a trial{pale}. {scale}")
    return figure


def importance_chart(importance: Importance) -> Figure:
    """A bar for each parameter, and how long it may be by chance."""
    names = list(importance.shares)
    with matplotlib.rc_context(STYLE):
        height = 1.5 + 0.36 * len(names)
        figure, axes = canvas(height=height, box=(0.2, 0.62 / height, 0.72, 1 - 1.3 / height))
        for place, name in enumerate(reversed(names)):
            share, chance = importance.shares[name], importance.chance[name]
            axes.barh(place, share, height=0.58, color=BLUE if share > chance else GREY, zorder=2)
            if chance <= 1:
                axes.plot([chance, chance], [place - 0.38, place + 0.38], color=INK, linewidth=1.4, zorder=3)
                text, end = f"{share:.0%}", max(share, chance)
            else:  # few trials: even all of the importance would be no proof
                text, end = f"{share:.0%}; by chance even 100%", share
            offset, side = ((7, 0), "left") if end < 0.7 or chance <= 1 else ((-7, 0), "right")
            axes.annotate(text, (end, place), offset, textcoords="offset points", va="center", ha=side)
        axes.set_yticks(range(len(names)), list(reversed(names)))
        axes.tick_params(axis="y", labelcolor=INK, labelsize=10.5)
        axes.set_xlim(0, 1.08)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.grid(axis="x", color=FAINT, linewidth=0.8, zorder=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("share of importance (PED-ANOVA)")
        title(
            figure,
            "Which parameters set the best trials apart",
            f"Best {importance.best} of {importance.trials} trials. A bar that does not pass its black mark, "
            "or has none, may be chance (95% level).",
        )
    return figure


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
            count(reached, "trial"),
            (rung, 1),
            (0, 6),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            color=SLATE,
            fontsize=9,
        )


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
