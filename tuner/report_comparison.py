"""Writes the comparison of several sweeps: a page for a browser, and the same as Markdown."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tuner.chapters import to_markdown
from tuner.comparison import Compared, Comparison
from tuner.comparison_page import comparison_chapters
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.errors import OutputError, StudyError, UserError
from tuner.files import check_output, write_text
from tuner.results import read_results
from tuner.sweep_files import read_environment, read_split

TITLE = "Comparison of sweeps"


@dataclass(frozen=True, kw_only=True)
class ComparisonFiles:
    """What was written."""

    html: Path
    markdown: Path
    """Beside it, under the same name."""


def write_comparison(
    directories: Sequence[SweepDirectory], *, output: Path = Path("compare.html"), price: float | None = None
) -> ComparisonFiles:
    """Compare sweeps, at any time, also while they run or after they died.

    Args:
        output: the page, `*.html`; an earlier comparison there is replaced, no other file is.
        price: of a device's hour, to say what they cost.

    Raises UserError for fewer than two sweeps or one given twice, OutputError where the page can't lie, StudyError
    where a sweep has no trials.
    """
    from tuner.charts_comparison import best_so_far_chart  # plotly
    from tuner.html_page import to_html  # Jinja

    _check(directories)
    files = ComparisonFiles(html=output, markdown=output.with_suffix(".md"))
    _check_outputs(files)
    comparison = Comparison(sweeps=[_read(directory, directories) for directory in directories])
    chapters = comparison_chapters(comparison, price=price)
    figure = best_so_far_chart(comparison.sweeps)
    about = ", ".join(sweep.label for sweep in comparison.sweeps)
    figures = {"best_so_far": figure} if figure else {}
    write_text(files.html, to_html(TITLE, chapters, figures, about=about, written=datetime.now()))
    write_text(files.markdown, to_markdown(TITLE, chapters))
    return files


def _check(directories: Sequence[SweepDirectory]) -> None:
    if len(directories) < 2:
        given = f"only {directories[0].root}" if directories else "none"
        raise UserError(f"a comparison needs two sweeps or more, got {given}")
    times = Counter(directory.root.resolve() for directory in directories)
    if twice := [str(root) for root, number in times.items() if number > 1]:
        raise UserError(f"a sweep can't be compared with itself: {', '.join(twice)} was given more than once")


def _check_outputs(files: ComparisonFiles) -> None:
    if files.html.suffix != ".html":
        raise OutputError(f"{files.html} is to be a page of HTML; choose an --output that ends in .html")
    for file, sign in ((files.html, f"<title>{TITLE}</title>"), (files.markdown, f"# {TITLE}\n")):
        if not (file.is_file() and sign in file.read_text(encoding="utf-8", errors="replace")[:2000]):
            check_output(file)


def _read(directory: SweepDirectory, all_: Sequence[SweepDirectory]) -> Compared:
    results = read_results(directory)
    if not results.begun:
        raise StudyError(f"sweep {directory.name}: no trial was begun yet, so there is nothing to compare")
    namesakes = [other for other in all_ if other.name == directory.name]
    return Compared(
        label=directory.name if len(namesakes) == 1 else os.path.relpath(directory.root),
        config=SweepConfig.read(directory.sweep_file),
        results=results,
        environment=read_environment(directory),
        split=read_split(directory),
    )
