"""The picture of the study of parallelism: speed-up over the number of devices, measured and modelled."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, NullLocator

from tuner.palette import BLUE, FAINT, GREY, ORANGE, SLATE
from tuner.parallelism import Way
from tuner.parallelism_result import Outcome
from tuner.plot_style import STYLE, canvas, grid_across, title

LINES: dict[str, tuple[str, str, Callable[[Way], bool]]] = {
    "a trial on each device": (BLUE, "o", lambda way: way.group == 1),
    "all on one trial": (ORANGE, "s", lambda way: way.group == way.devices),
}
"""Colour, marker, and which ways are on the line."""


def speed_up_chart(found: Sequence[Outcome]) -> Figure:
    """Two panels, without and with early stopping; filled and solid is measured, hollow and dashed modelled."""
    with matplotlib.rc_context(STYLE):
        figure, left = canvas(height=4.6, box=(0.07, 0.13, 0.40, 0.58))
        right = figure.add_axes((0.57, 0.13, 0.40, 0.58))
        for axes, early_stopping in ((left, False), (right, True)):
            _panel(axes, [one for one in found if one.way.early_stopping == early_stopping])
            name = "with early stopping (ASHA)" if early_stopping else "every trial to the full budget"
            axes.set_title(name, loc="left", fontsize=10, color=SLATE)
        figure.legend(handles=_legend(), frameon=False, loc="upper left", bbox_to_anchor=(0.05, 0.87), ncols=4)
        title(
            figure,
            "How many times as fast as one device",
            "Time from the first trial's begin to the last one's end. Filled: measured, with the range of the "
            "repetitions; hollow: modelled.",
        )
        return figure


def _panel(axes: Axes, found: Sequence[Outcome]) -> None:
    counts = sorted({one.way.devices for one in found})
    axes.plot(counts, counts, color=FAINT, linewidth=1.2, zorder=1)
    each = sorted((one for one in found if one.way.group == 1), key=lambda one: one.way.devices)
    bounds = [one.bound_speed_up for one in each]
    axes.plot([one.way.devices for one in each], bounds, color=GREY, linewidth=1.6, zorder=2)
    for colour, marker, belongs in LINES.values():
        line = sorted((one for one in found if belongs(one.way)), key=lambda one: one.way.devices)
        for before, after in pairwise(line):
            style = "-" if before.measured and after.measured else "--"
            ends = [before.way.devices, after.way.devices]
            axes.plot(ends, [before.speed_up, after.speed_up], style, color=colour, linewidth=1.8, zorder=3)
        for one in line:
            _point(axes, one, colour, marker, 6.0)
    for one in found:  # groups in between
        if 1 < one.way.group < one.way.devices:
            _point(axes, one, SLATE, "d", 4.5)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FormatStrFormatter("%g"))
        axis.set_minor_locator(NullLocator())
    axes.set_xticks(counts)
    axes.set_xlabel("devices")
    grid_across(axes)


def _point(axes: Axes, one: Outcome, colour: str, marker: str, size: float) -> None:
    face = colour if one.measured else "white"
    if one.speed_up_high > one.speed_up_low:
        axes.plot([one.way.devices] * 2, [one.speed_up_low, one.speed_up_high], color=colour, linewidth=1.2, zorder=3)
    axes.plot([one.way.devices], [one.speed_up], marker, color=colour, markerfacecolor=face, markersize=size, zorder=4)


def _legend() -> list[Line2D]:
    entries = [
        Line2D([], [], color=colour, marker=marker, linewidth=1.8, label=name)
        for name, (colour, marker, _) in LINES.items()
    ]
    between = Line2D([], [], color=SLATE, marker="d", linestyle="", markersize=4.5, label="groups")
    bound = Line2D([], [], color=GREY, linewidth=1.6, label="a trial on each, no overhead")
    return [*entries, between, bound]
