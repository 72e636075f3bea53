"""The page and the picture of `benchmarks/scaling.py`: what was measured on few slots, and modelled on many."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, NullLocator, PercentFormatter

from tuner.cluster_model import Modelled, Overheads, list_schedule
from tuner.files import replace_file, write_text
from tuner.markdown import made_with, table
from tuner.palette import BLUE, INK, ORANGE
from tuner.plot_style import STYLE, canvas, grid_across, title

Row = tuple[str, Modelled]
"""What is modelled, in words, and how it went."""


def write_page(
    file: Path,
    result: Mapping[str, Any],
    *,
    fitted: Overheads,
    fitted_on: int,
    tested: Mapping[int, Modelled],
    further: Sequence[Row],
) -> None:
    """Write `file` (Markdown), and its picture beside it.

    Args:
        tested: the model by the numbers of slots that were measured.
        further: more slots than were.
    """
    picture = file.with_suffix(".png")
    replace_file(picture, partial(_chart(result, further).savefig, format="png"))
    write_text(file, "\n\n".join(_page(result, fitted, fitted_on, tested, further, picture.name)) + "\n")


def efficiency(found: Modelled) -> float:
    """The list schedule's time over the search's."""
    return list_schedule(found.durations, found.slots) / found.seconds


def _page(
    result: Mapping[str, Any],
    fitted: Overheads,
    fitted_on: int,
    tested: Mapping[int, Modelled],
    further: Sequence[Row],
    picture: str,
) -> Iterator[str]:
    yield "# Experiment parallelism on 1 to 32 slots of a real Ray, and a model of up to 1,024"
    yield (
        f"{len(result['trials'])} random configurations were trained to the end, and what each took and scored was "
        f"recorded ({result['recording']}). In the searches below a trial **waits** for as long as it was recorded to "
        "take, so that two cores hold 32 slots; Ray, the driver, the study and the rule that stops trials (ASHA) are "
        "the real ones. The bound is a list schedule of the same durations without any overhead."
    )
    yield f"![Efficiency over the number of slots]({picture})"
    yield table(
        ["slots", "from first begin to last end", "bound", "over it", "driver, of a core", "model", "its error"],
        [_measured(search, tested[search["slots"]], fitted_on) for search in _by_slots(result)],
    )
    yield (
        f"The model is fitted to the searches on at most {fitted_on} slots: {1000 * fitted.report:.0f} ms of the "
        f"driver for each report and each proposal, {1000 * fitted.between:.0f} ms between two trials on a slot."
    )
    yield "## Modelled"
    yield table(
        ["slots", "trials", "", "of the bound's speed", "slots busy", "driver busy"],
        [
            [
                str(found.slots),
                str(len(found.durations)),
                said,
                f"{efficiency(found):.1%}",
                f"{found.busy:.1%}",
                f"{found.driver_busy:.1%}",
            ]
            for said, found in further
        ],
    )
    yield (
        "What gives first is the driver, one process that answers one report or proposal after another. How busy it is "
        "grows with the number of slots and shrinks with the length of a trial; once it is busy all the time, further "
        "slots bring nothing. Busy slots are few beside the bound where the last trials leave most of them idle."
    )
    yield made_with(result["environment"])


def _by_slots(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    return sorted(result["searches"], key=lambda search: search["slots"])


def _measured(search: Mapping[str, Any], modelled: Modelled, fitted_on: int) -> list[str]:
    seconds = search["seconds"]
    used = "fitted" if search["slots"] <= fitted_on else "tested"
    return [
        str(search["slots"]),
        f"{seconds:.1f} s",
        f"{search['bound']:.1f} s",
        f"{seconds / search['bound'] - 1:+.1%}",
        f"{search['driver_seconds'] / seconds:.1%}",
        f"{modelled.seconds:.1f} s",
        f"{modelled.seconds / seconds - 1:+.1%}, {used}",
    ]


def _chart(result: Mapping[str, Any], further: Sequence[Row]) -> Figure:
    with matplotlib.rc_context(STYLE):
        figure, axes = canvas(height=4.0, box=(0.08, 0.14, 0.88, 0.58))
        measured = _by_slots(result)
        axes.plot(
            [search["slots"] for search in measured],
            [search["bound"] / search["seconds"] for search in measured],
            "o-",
            color=INK,
            label="measured",
        )
        for (said, colour), marker in zip(_colours(further).items(), "sd^v", strict=False):
            line = [found for name, found in further if name == said]
            axes.plot(
                [found.slots for found in line],
                [efficiency(found) for found in line],
                f"{marker}--",
                color=colour,
                markerfacecolor="white",
                label=f"modelled, {said}",
            )
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(sorted({search["slots"] for search in measured} | {found.slots for _, found in further}))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_ylim(0, 1.05)
        axes.set_xlabel("slots")
        grid_across(axes)
        axes.legend(frameon=False, loc="lower left")
        title(
            figure,
            "How near a search comes to a schedule without overhead",
            "The same durations in the same order. Training is replaced by waiting for recorded trials.",
        )
        return figure


def _colours(further: Sequence[Row]) -> dict[str, str]:
    names = dict.fromkeys(said for said, _ in further)
    return dict(zip(names, (BLUE, ORANGE, "#009E73", "#CC79A7"), strict=False))
