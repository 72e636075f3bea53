"""Writes what a sweep leaves for people: the report with its tables and pictures, the best configuration and model.

Each file is whole at any time, so that a report can be read while the sweep that rewrites it goes on.
"""

import json
import logging
import os
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import pandas as pd

from tuner.chapters import to_markdown
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.errors import StudyError
from tuner.files import replace_file, write_text
from tuner.importance import parameter_importance
from tuner.markdown import amount
from tuner.report_best import write_best
from tuner.report_cases import read_cases
from tuner.report_json import report_data
from tuner.report_page import Page
from tuner.results import Results, read_results
from tuner.rungs import rung_steps
from tuner.sweep_files import read_environment, read_split
from tuner.terminator import expected_gain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger("voxtune")

T = TypeVar("T")
ContentT = TypeVar("ContentT", "Figure", pd.DataFrame, str)


@dataclass(frozen=True, kw_only=True)
class ReportFiles:
    """What a report consists of; None for what there was nothing to write of."""

    html: Path | None
    """The page to show others: one file, which needs no other; None only where `report_at_end` could not make it."""

    markdown: Path
    json: Path
    trials: Path
    curves: Path
    cases: Path
    turned_away: Path | None
    learning_curves: Path | None
    front: Path | None
    importance: Path | None
    best_config: Path | None
    best_model: Path | None


def write_report(
    directory: SweepDirectory,
    *,
    price: float | None = None,
    results: Results | None = None,
    pool: Executor | None = None,
) -> ReportFiles:
    """Write, or write again, the report of the sweep in `directory` as it stands.

    Args:
        price: of a device's hour, to say what the sweep cost.
        results: of this sweep, where they were read already: of a thousand trials that takes a second.
        pool: of processes: what takes seconds to find out about the trials is found out there meanwhile.

    Raises StudyError if the sweep was not begun or its study can't be read.
    """
    return _write(directory, results or read_results(directory), _required, price, pool)


def report_at_end(directory: SweepDirectory) -> ReportFiles | None:
    """The same when a sweep ends, whatever ended it: raises nothing, leaves out what fails, and logs that.

    A fault in a picture must not cost the best model, nor hide the error that ended the sweep. Returns None if there is
    nothing to report on yet, or no report was possible.
    """
    try:
        return _write(directory, read_results(directory), _optional)
    except StudyError as error:
        log.warning("no report was written: %s", error)
    except OSError as error:
        log.warning(
            "the report is not whole: %s; make room, then write it by: voxtune report %s", error, directory.root
        )
    except Exception:
        log.exception("no report was written; try: voxtune report %s", directory.root)
    return None


def _write(
    directory: SweepDirectory,
    results: Results,
    part: "Part",
    price: float | None = None,
    pool: Executor | None = None,
) -> ReportFiles:
    """Write what matters most first: the best configuration, the tables; then what may fail alone, then the page."""
    importance_found = _begun(pool, parameter_importance, results)
    gain_found = _begun(pool, expected_gain, results.sweep_trials, results.confirm_trials)

    from tuner.charts import charts_of  # plotly
    from tuner.html_page import to_html  # Jinja
    from tuner.plots import importance_chart, learning_curves  # matplotlib, which a sweep needs only at its end
    from tuner.plots_front import front_chart

    config = SweepConfig.read(directory.sweep_file)
    folder = directory.report
    best_config, best_model = write_best(directory, config, results)
    trials = _write_table(folder / "trials.csv", results.trials)
    curves = _write_table(folder / "curves.csv", results.curves)
    cases = _write_table(folder / "cases.csv", results.cases)
    turned_away = _write_if(
        folder / "turned_away.csv", results.turned_away if len(results.turned_away) else None, _write_table
    )

    budget = amount(config.budget.maximum, config.budget.unit)
    rungs = rung_steps(config.budget.first_share, config.budget.reduction)
    pictures: dict[str, Figure | None] = {
        "learning_curves.png": part(
            "learning curves",
            lambda: learning_curves(results, rungs=rungs, budget=budget) if results.standings else None,
        ),
        "front.png": part("picture of the front", lambda: front_chart(results)),
    }
    importance = part("parameter importance", importance_found)
    gain = part("expected gain", gain_found)
    pictures["importance.png"] = part(
        "picture of importance", lambda: importance_chart(importance) if importance else None
    )
    drawn = {name: _write_if(folder / name, picture, _write_picture) for name, picture in pictures.items()}
    page = Page(
        config=config,
        results=results,
        importance=importance,
        gain=gain,
        environment=part("environment", lambda: read_environment(directory)) or {},
        split=part("split", lambda: read_split(directory)) or {},
        cases=part("pictures of cases", lambda: read_cases(directory)),
        folder=_short(directory.root),
        has_model=best_model is not None,
        has_folds=directory.folds_page.is_file(),
        pictures={name for name, path in drawn.items() if path},
        price=price,
    )
    chapters = page.chapters()
    figures = part("charts", lambda: charts_of(config, results, importance)) or {}
    html = part("HTML page", lambda: to_html(page.title, chapters, figures, about=page.about, written=datetime.now()))
    data = json.dumps(report_data(config, results, importance, gain), indent=1, allow_nan=False)
    return ReportFiles(
        markdown=write_text(folder / "report.md", to_markdown(page.title, chapters)),
        html=_write_if(directory.report_page, html, write_text),
        json=write_text(folder / "report.json", data + "\n"),
        trials=trials,
        curves=curves,
        cases=cases,
        turned_away=turned_away,
        learning_curves=drawn["learning_curves.png"],
        front=drawn["front.png"],
        importance=drawn["importance.png"],
        best_config=best_config,
        best_model=best_model,
    )


def _begun(pool: Executor | None, find: Callable[..., T], *arguments: object) -> Callable[[], T]:
    """What asks for the result: found in the pool meanwhile, or once it is asked for."""
    return pool.submit(find, *arguments).result if pool else partial(find, *arguments)


class Part(Protocol):
    """Makes a part of the report, by name."""

    def __call__(self, name: str, make: Callable[[], T]) -> T | None: ...


def _required(name: str, make: Callable[[], T]) -> T | None:
    return make()


def _optional(name: str, make: Callable[[], T]) -> T | None:
    try:
        return make()
    except Exception:
        log.exception("the report lacks its %s", name)
        return None


def _write_if(path: Path, content: ContentT | None, write: Callable[[Path, ContentT], Path]) -> Path | None:
    """Write what there is; where there is nothing, remove what an earlier report left."""
    if content is None:
        path.unlink(missing_ok=True)
        return None
    return write(path, content)


def _write_picture(path: Path, figure: "Figure") -> Path:
    return replace_file(path, lambda temporary: figure.savefig(temporary, format="png"))


def _write_table(path: Path, frame: pd.DataFrame) -> Path:
    return replace_file(path, lambda temporary: frame.to_csv(temporary, index=False, lineterminator="\n"))


def _short(path: Path) -> str:
    """As seen from here where it lies below, else absolute."""
    here = Path.cwd()
    return os.path.relpath(path, here) if path.is_relative_to(here) else str(path)
