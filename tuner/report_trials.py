"""What the report says of trials: the confirmed ones, the Pareto front, the leaderboard, how they ended."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from tuner.durations import duration
from tuner.markdown import count, dice, escape, last_line, setting, spread, table
from tuner.report_answer import budget_share
from tuner.report_memory import memory
from tuner.results import OBJECTIVES, Results

LEADERS = 10
"""Trials on the leaderboard; all of them stand in trials.csv."""

ENDINGS = {
    "full budget": "reached the full budget",
    "stopped at rung": "stopped at a rung",
    "out of memory": "did not fit in memory",
    "error": "failed",
}
"""How a stop reason is told after a number of trials."""


def confirmed(results: Results) -> Iterator[str]:
    """The configurations that were trained again with other seeds; nothing if none was."""
    if results.confirmed.empty:
        return
    yield "## Confirmed with other seeds"
    running = sum(not trial.state.is_finished() for trial in results.confirm_trials)
    if running:
        yield f"Not over: {count(running, 'run')} to go. Until then the order of the search holds."
    rows = []
    for summary in results.confirmed_summary.to_dict("records"):
        runs = results.confirmed[results.confirmed["config"] == summary["config"]]
        repeats = runs[runs["study"] == "confirm"]
        by_run = zip(repeats["validation"], repeats["seed"], strict=True)
        values = ", ".join(f"{dice(score) or 'none'} ({seed})" for score, seed in by_run)
        tests = repeats["test"].dropna()
        cells = [spread(repeats["validation"].dropna()), values, dice(summary["search"])]
        rows.append([f"trial {summary['config']}", *cells, spread(tests) if len(tests) else ""])
    if not rows:
        return
    header = ["", "validation Dice", "by run (seed)", "in the search", "test Dice"]
    width = 5 if results.tested else 4
    yield table(header[:width], [row[:width] for row in rows])
    yield (
        "± is the standard deviation over the runs with other seeds. The Dice that the search found is not among them: "
        "it got the configuration picked out of many, so it is biased upwards."
    )


def front(results: Results, *, picture: bool) -> Iterator[str]:
    """With several objectives the trials that no other beats in all of them."""
    if not results.front:
        return
    trials = results.trials[results.trials["on_front"]].sort_values("score", ascending=False)
    others = [objective for objective in results.objectives if objective != "dice"]
    names = [OBJECTIVES[objective] for objective in others]
    searched = list(results.space.searched)
    rows = [
        [str(row["number"]), dice(row["score"]), *(_objective(row[name], name) for name in others)]
        + [setting(results.sweep_trials[row["number"]].params[name]) for name in searched]
        for row in trials.to_dict("records")
    ]
    yield "## Pareto front"
    yield (
        f"No other trial beats {'this one' if len(rows) == 1 else f'these {len(rows)}'} of {len(results.trials)} in "
        f"{', '.join(['Dice', *names[:-1]])} and {names[-1]} at once."
    )
    yield table(["trial", "Dice", *names, *map(escape, searched)], rows)
    if picture:
        yield "![Dice of every trial against the other objectives, the front marked](front.png)"


def leaderboard(results: Results) -> Iterator[str]:
    """The best trials of the search."""
    if not results.standings:
        return
    trials: dict[int, dict[Any, Any]] = {row["number"]: row for row in results.trials.to_dict("records")}
    searched = list(results.space.searched)
    marked = ["front"] if results.front else []
    rows = []
    for run in results.standings[:LEADERS]:
        parameters, row = results.sweep_trials[run.number].params, trials[run.number]
        cells = [str(run.number), dice(run.score), budget_share(run.step)]
        cells += ["yes" if run.number in results.front else "" for _ in marked]
        cells += [setting(parameters[name]) for name in searched]
        rows.append([*cells, duration(row["training_seconds"]), _gib(row["peak_gib"])])
    yield "## Leaderboard"
    yield table(["trial", "Dice", "budget", *marked, *map(escape, searched), "training", "peak GiB"], rows)
    total = len(trials)
    rest = f"The first {len(rows)} of {count(total, 'trial')}; all" if total > len(rows) else "All"
    yield (
        f"{rest} are in [trials.csv](trials.csv), each evaluation in [curves.csv](curves.csv), each case in "
        "[cases.csv](cases.csv). Trials are ordered by the budget they reached, then by the Dice of the search there. "
        + _what_memory(trials.values())
    )


def endings(results: Results) -> Iterator[str]:
    """How many trials ended in which way, and the errors."""
    trials = results.trials
    if trials.empty and results.turned_away.empty:
        return
    yield "## How trials ended"
    ending = trials["stop_reason"].fillna(trials["state"].str.lower()).value_counts()
    if len(ending):
        yield ", ".join(f"{number} {ENDINGS.get(str(name), escape(name))}" for name, number in ending.items()) + "."
    yield from memory(results)
    errors = trials[trials["state"] == "FAIL"].copy()
    if len(errors):
        errors["line"] = [last_line(error) for error in errors["error"]]
        rows = [
            [escape(line), ", ".join(str(number) for number in numbers)]
            for line, numbers in errors.groupby("line", sort=False)["number"]
        ]
        yield table(["error", "trials"], rows)


def _what_memory(trials: Iterable[Mapping[Any, Any]]) -> str:
    """What `peak GiB` is, by the devices that trials ran on."""
    on_cpu = {row["device"] == "cpu" for row in trials if pd.notna(row["device"]) and pd.notna(row["peak_gib"])}
    cpu = "the highest resident memory of the trial's process while it ran, mapped images included"
    gpu = "what the trial held on its GPU at its highest"
    if on_cpu == {True}:
        return f"Without a GPU, peak GiB is {cpu}."
    if on_cpu == {False}:
        return f"Peak GiB is {gpu}."
    return f"Peak GiB is {gpu}; on a CPU {cpu}." if on_cpu else ""


def _objective(value: Any, name: str) -> str:
    return duration(value) if name == "training_seconds" else f"{value:.2f} GiB"


def _gib(value: Any) -> str:
    return f"{value:.2f}" if pd.notna(value) else ""
