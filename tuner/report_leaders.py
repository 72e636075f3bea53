"""The report's leaderboard: all trials of the search, best first."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from tuner.chapters import Block, Cell, SortedTable
from tuner.durations import duration
from tuner.markdown import dice, mean_and_deviation
from tuner.report_answer import budget_share
from tuner.results import Results

SHOWN = 10
"""Trials that are shown first."""

ENDINGS = {"out of memory": "too large for memory", "error": "failed"}
"""How a stop reason is told in a row; others as they are."""


def leaderboard(results: Results) -> Iterator[Block]:
    """The table, and where more stands of each trial. Nothing before the first trial."""
    trials: dict[int, dict[Any, Any]] = {row["number"]: row for row in results.trials.to_dict("records")}
    if not trials:
        return
    ranked = [run.number for run in results.standings]
    order = dict.fromkeys([*ranked, *trials])
    marked = ["front"] if results.front else []
    seeds = _by_seeds(results)
    repeated = ["other seeds"] if seeds else []
    searched = list(results.space.searched)
    yield SortedTable(
        header=["trial", "Dice", *repeated, "budget", *marked, *searched, "training", "peak GiB", "ended"],
        rows=[_row(results, trials[number], searched, seeds) for number in order],
        shown=SHOWN,
        what="trial",
        high_first=("Dice", "other seeds", "budget", "front"),
    )
    yield (
        "Trials are ordered by the budget they reached, then by the Dice of the search there; * marks the best. "
        "All are in [trials.csv](trials.csv), each evaluation in [curves.csv](curves.csv), each case in "
        "[cases.csv](cases.csv). " + what_memory(trials.values())
    ).strip()


def _row(results: Results, row: Mapping[Any, Any], searched: Iterable[str], seeds: Mapping[int, Cell]) -> list[Cell]:
    number, step = row["number"], row["step"]
    parameters = results.sweep_trials[number].params
    best = " *" if results.best and results.best.number == number else ""
    cells = [Cell.of(number, f"{number}{best}"), Cell.of(row["score"], dice(row["score"]))]
    if seeds:
        cells.append(seeds.get(number, Cell(text="")))
    cells.append(Cell.of(step or None, budget_share(step)))
    if results.front:
        cells.append(Cell(text="yes" if number in results.front else ""))
    cells += [_setting(parameters.get(name)) for name in searched]
    seconds, peak = row["training_seconds"], row["peak_gib"]
    cells.append(Cell(text="") if pd.isna(seconds) else Cell.of(seconds, duration(seconds)))
    cells.append(Cell(text="") if pd.isna(peak) else Cell.of(peak, f"{peak:.2f}"))
    reason = row["stop_reason"]
    ending = str(row["state"]).lower() if pd.isna(reason) else ENDINGS.get(reason, str(reason))
    return [*cells, Cell(text=ending)]


def _by_seeds(results: Results) -> dict[int, Cell]:
    """What the configurations that were trained again gave with other seeds, by their number."""
    return {
        row["config"]: Cell.of(
            row["validation_mean"], mean_and_deviation(row["validation_mean"], row["validation_std"])
        )
        for row in results.confirmed_summary.to_dict("records")
    }


def _setting(value: Any) -> Cell:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Cell.of(value, f"{value:.4g}" if isinstance(value, float) else str(value))
    return Cell(text="" if value is None else str(value))


def what_memory(trials: Iterable[Mapping[Any, Any]]) -> str:
    """What `peak GiB` is, by the devices that trials ran on."""
    on_cpu = {row["device"] == "cpu" for row in trials if pd.notna(row["device"]) and pd.notna(row["peak_gib"])}
    cpu = "the highest resident memory of the trial's process while it ran, mapped images included"
    gpu = "what the trial held on its GPU at its highest"
    if on_cpu == {True}:
        return f"Without a GPU, peak GiB is {cpu}."
    if on_cpu == {False}:
        return f"Peak GiB is {gpu}."
    return f"Peak GiB is {gpu}; on a CPU {cpu}." if on_cpu else ""
