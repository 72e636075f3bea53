"""The table that a sweep ends with: its best configurations."""

import math
from collections.abc import Callable, Mapping
from functools import partial

import pandas as pd
from rich.console import Group
from rich.text import Text

from tuner.best import Run
from tuner.cells import short
from tuner.columns import Column, Rows
from tuner.markdown import mean_and_deviation
from tuner.results import Results
from tuner.rungs import FULL_BUDGET

ROWS = 8


def leaderboard(results: Results, *, rows: int = ROWS) -> Group:
    """The best trials of the search, the chosen one first and marked; with several objectives the front next.

    `Dice` is the search's own run. What other seeds gave, and the test cases, stands beside it where there is any.
    """
    best = results.best

    def place(run: Run) -> tuple[bool, bool]:
        return best is None or run.number != best.number, run.number not in results.front

    runs = sorted(results.standings, key=place)[:rows]
    table = [
        Column(heading="", cells=tuple("*" if best and run.number == best.number else " " for run in runs)),
        Column(heading="trial", cells=tuple(str(run.number) for run in runs)),
        *(Column(heading=heading, cells=tuple(map(text, runs))) for heading, text in _columns(results).items()),
    ]
    for name in results.space.searched:
        values = [short(results.sweep_trials[run.number].params.get(name, "")) for run in runs]
        table.append(Column.of_parameter(name, values, rank=1))
    return Group(Text("Leaderboard", style="italic"), Rows(table))


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
    return f"{run.score:.4f}" + ("" if run.finished else f" at {run.step / FULL_BUDGET:.0%}")


def _spread(results: Results, run: Run, column: str) -> str:
    """`0.8712 ± 0.0021` over the seeds of a confirmed configuration; of another the test Dice of its own run."""
    summary = results.confirmed_summary
    row = summary[summary["config"] == run.number]
    if len(row):
        mean, std = row[[f"{column}_mean", f"{column}_std"]].to_numpy(dtype=float)[0]
    else:
        mean, std = results.case_scores(run, "test").mean() if column == "test" else math.nan, math.nan
    return mean_and_deviation(mean, std)
