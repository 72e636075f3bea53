"""The table that a sweep ends with: its best configurations."""

import math
from collections.abc import Callable, Mapping
from functools import partial

import pandas as pd
from rich.table import Table

from tuner.best import Run
from tuner.cells import cell
from tuner.results import Results

ROWS = 8


def leaderboard(results: Results, *, rows: int = ROWS) -> Table:
    """The best trials of the search, the chosen one first and marked; with several objectives the front next.

    `Dice` is the search's own run. What other seeds gave, and the test cases, stands beside it where there is any.
    """
    best = results.best
    columns = _columns(results)
    table = Table(title="Leaderboard", title_justify="left", box=None, pad_edge=False, header_style="bold")
    for heading in ("", "trial", *columns):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in results.space.searched:
        table.add_column(cell(name), justify="right")

    def place(run: Run) -> tuple[bool, bool]:
        return best is None or run.number != best.number, run.number not in results.front

    for run in sorted(results.standings, key=place)[:rows]:
        parameters = results.sweep_trials[run.number].params
        table.add_row(
            "*" if best and run.number == best.number else "",
            str(run.number),
            *(text(run) for text in columns.values()),
            *(cell(parameters.get(name, "")) for name in results.space.searched),
        )
    return table


def _columns(results: Results) -> Mapping[str, Callable[[Run], str]]:
    """The headings between a trial's number and its parameters, and what stands beneath them for a run."""
    columns: dict[str, Callable[[Run], str]] = {"Dice": _dice}
    for objective in results.objectives:
        if objective != "dice":
            columns[objective] = partial(_amount, results, objective)
    if results.front:
        columns["front"] = lambda run: "yes" if run.number in results.front else ""
    if len(results.confirmed_summary):
        columns["other seeds"] = lambda run: _spread(results, run, "validation")
    if results.tested:
        columns["test"] = lambda run: _spread(results, run, "test")
    return columns


def _amount(results: Results, name: str, run: Run) -> str:
    value = results.trials.loc[results.trials["number"] == run.number, name].item()
    return "" if pd.isna(value) else f"{value:.4g}"


def _dice(run: Run) -> str:
    return f"{run.score:.4f}" + ("" if run.finished else f" at {run.step / 10:.0f} %")


def _spread(results: Results, run: Run, column: str) -> str:
    """`0.8712 ± 0.0021` over the seeds of a confirmed configuration; of another the test Dice of its own run."""
    summary = results.confirmed_summary
    row = summary[summary["config"] == run.number]
    if len(row):
        mean, std = row[[f"{column}_mean", f"{column}_std"]].to_numpy(dtype=float)[0]
    else:
        mean, std = results.case_scores(run, "test").mean() if column == "test" else math.nan, math.nan
    if math.isnan(mean):
        return ""
    return f"{mean:.4f}" if math.isnan(std) else f"{mean:.4f} ± {std:.4f}"
