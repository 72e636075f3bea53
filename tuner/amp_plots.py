"""The pictures of the study of mixed precision: learning curves, and the time that a Dice takes."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from statistics import mean, median
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from tuner.amp_study import AmpStudy, CurvePoint
from tuner.palette import BLUE, GREEN, INK, ORANGE, SLATE
from tuner.plot_style import STYLE, canvas, grid_across, title

LOOKS: Mapping[str, dict[str, Any]] = {
    "fp32": {"color": INK, "linestyle": "-", "marker": "o"},
    "fp16": {"color": BLUE, "linestyle": "--", "marker": "s"},
    "bf16": {"color": ORANGE, "linestyle": ":", "marker": "^"},
    "tf32": {"color": GREEN, "linestyle": "-.", "marker": "D"},
}
DICE_LEVELS = 9


def curves_chart(study: AmpStudy) -> Figure:
    """Loss and validation Dice over the steps, the seeds' mean as a line and their range as a band."""
    with matplotlib.rc_context(STYLE):
        figure, loss_axes = canvas(height=4.0, box=(0.07, 0.15, 0.40, 0.63))
        dice_axes = figure.add_axes((0.56, 0.15, 0.40, 0.63))
        for precision in study.settings.precisions:
            points = sorted((p for p in study.curves if p.precision == precision), key=lambda p: p.step)
            by_step = {step: list(group) for step, group in groupby(points, key=lambda p: p.step)}
            for axes, of in ((loss_axes, "loss"), (dice_axes, "dice")):
                values = [[float(getattr(p, of)) for p in group] for group in by_step.values()]
                look = LOOKS[precision]
                axes.plot(
                    list(by_step), [mean(v) for v in values], label=precision, markersize=5, linewidth=1.8, **look
                )
                axes.fill_between(
                    list(by_step), [min(v) for v in values], [max(v) for v in values], color=look["color"], alpha=0.15
                )
        for axes, name in ((loss_axes, "training loss"), (dice_axes, "validation Dice")):
            axes.set_xlabel("steps")
            axes.set_title(name, loc="left", fontsize=10, color=SLATE)
            grid_across(axes)
            axes.set_xlim(left=0)
        dice_axes.legend(frameon=False, loc="lower right")
        seeds = study.settings.seeds
        explanation = f"Mean of {seeds} seeds, the band from the lowest to the highest." if seeds > 1 else "One seed."
        title(figure, "What is learned, step by step", explanation)
        return figure


def time_chart(study: AmpStudy) -> Figure:
    """Training seconds until the validation Dice first reached a level, by the seeds' median."""
    with matplotlib.rc_context(STYLE):
        figure, axes = canvas(height=3.8, box=(0.08, 0.16, 0.88, 0.62))
        reached = [max(p.dice for p in curve) for curve in _by_seed(study.curves)]
        top = min(reached, default=0.0)
        levels = [top * (level + 1) / DICE_LEVELS for level in range(DICE_LEVELS)]
        for precision in study.settings.precisions:
            curves = _by_seed([p for p in study.curves if p.precision == precision])
            if not curves:  # none of its runs came to an evaluation
                continue
            times = [median(seconds_to(curve, level) for curve in curves) for level in levels]
            axes.plot(levels, times, label=precision, markersize=5, linewidth=1.8, **LOOKS[precision])
        axes.set_xlabel("validation Dice")
        axes.set_ylabel("seconds of training")
        axes.set_yscale("log")
        grid_across(axes)
        axes.legend(frameon=False, loc="upper left")
        title(
            figure,
            "Training time to reach a Dice",
            "Median of the seeds, on a log scale; between two evaluations a straight line is assumed.",
        )
        return figure


def seconds_to(curve: Sequence[CurvePoint], dice: float) -> float:
    """Training seconds at which one seed's curve first reaches `dice`, linear between its points; infinite if never."""
    seconds, before = 0.0, 0.0
    for point in curve:
        if point.dice >= dice:
            share = 1.0 if point.dice == before else (dice - before) / (point.dice - before)
            return seconds + max(0.0, share) * (point.seconds - seconds)
        seconds, before = point.seconds, point.dice
    return float("inf")


def _by_seed(points: Sequence[CurvePoint]) -> list[list[CurvePoint]]:
    def key(point: CurvePoint) -> tuple[str, int]:
        return point.precision, point.seed

    ordered = sorted(points, key=lambda p: (*key(p), p.step))
    return [list(curve) for _, curve in groupby(ordered, key=key)]
