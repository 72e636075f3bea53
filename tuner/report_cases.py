"""The report's chapter on the best model's cases, from worst to best: what it gets wrong is seen, not averaged away.

The pictures are made where the data set is at hand (`tuner.case_pictures`) and listed in `best/cases.json`
(`tuner.best_cases`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuner.best import Run
from tuner.best_cases import picture_of, run_name
from tuner.chapters import Block, Cell, Gallery, Picture, SortedTable
from tuner.directory import SweepDirectory
from tuner.markdown import count, dice, escape
from tuner.results import Results
from tuner.sweep_files import read_best_cases

SHOWN = 10
"""Cases, from the worst, that are shown first."""


@dataclass(frozen=True, kw_only=True)
class Cases:
    """The pictures that were made of a run's cases, worst first."""

    run: str
    """`sweep:7`."""

    part: str
    rows: str
    """What is above what in a picture."""

    pictures: Sequence[Picture]


def read_cases(directory: SweepDirectory) -> Cases | None:
    """What `best/cases.json` lists; None where there is none.

    Raises SweepDirectoryError for a file of another form, or one that names files outside its folder.
    """
    content = read_best_cases(directory)
    if not content:
        return None
    pictures = [_picture(case, directory) for case in content["cases"] if "picture" in case]
    return Cases(run=content["run"], part=content["part"], rows=content["rows"], pictures=pictures)


def _picture(case: Mapping[str, Any], directory: SweepDirectory) -> Picture:
    file = picture_of(case, directory)
    classes = ", ".join(f"{name} {dice(value)}" for name, value in case["classes"].items())
    return Picture(
        file=file,
        link=f"../best/{file.relative_to(directory.best_cases.parent.resolve()).as_posix()}",
        caption=f"{case['case']}: Dice {dice(case['dice'])}",
        detail=classes if len(case["classes"]) > 1 else "",
    )


def cases(results: Results, found: Cases | None, *, command: str, pictured: bool) -> Iterator[Block]:
    """
    Args:
        command: what makes the pictures.
        pictured: whether these are cases of which pictures can be made.
    """
    best = results.best
    if best is None:
        return
    run = best.run
    scores = results.cases
    chosen = scores[(scores["study"] == run.study) & (scores["number"] == run.number)]
    if chosen.empty:
        return
    part = found.part if found and found.run == run_name(run) else "validation"
    table = chosen[chosen["split"] == part].pivot_table(index="case", columns="class", values="dice", sort=False)
    if table.empty:
        return
    means = table.astype(float).mean(axis=1).sort_values(kind="stable")
    yield (
        f"The {count(len(means), f'{part} case')} of the model in `best/`, {best}, from worst to best: "
        f"{dice(means.iloc[0])} to {dice(means.iloc[-1])}, median {dice(means.median())}."
    )
    classes = [str(name) for name in table.columns] if len(table.columns) > 1 else []
    scores_of: dict[Any, dict[Any, float]] = table.to_dict("index")
    yield SortedTable(
        header=["case", "Dice", *classes],
        rows=[
            [Cell(text=str(case)), Cell.of(mean, dice(mean))]
            + [Cell.of(scores_of[case][name], dice(scores_of[case][name])) for name in classes]
            for case, mean in means.items()
        ],
        shown=SHOWN,
        what="case",
        high_first=["Dice", *classes],
    )
    if pictured:
        yield from _pictures(found, run, command)


def _pictures(found: Cases | None, run: Run, command: str) -> Iterator[Block]:
    there = [picture for picture in found.pictures if picture.file.is_file()] if found else []
    if found is None or not there:
        yield f"No pictures of them were made; with the data set at hand `{command}` makes them."
        return
    if found.run != run_name(run):
        yield f"Their pictures are of another run, {escape(found.run)}; `{command}` makes them anew."
        return
    yield escape(f"Three planes of {count(len(there), f'{found.part} case')}, {found.rows}.")
    middle = len(there) // 2
    yield Gallery(pictures=there, shown=sorted({0, middle, len(there) - 1}))
