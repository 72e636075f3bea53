"""What the report says of trials: the confirmed ones, the Pareto front, how they ended."""

from collections.abc import Iterator
from typing import Any

from tuner.durations import duration
from tuner.markdown import count, dice, escape, last_line, listed, setting, spread, table
from tuner.results import OBJECTIVES, Results

ENDINGS = {
    "full budget": "reached the full budget",
    "stopped at rung": "stopped at a rung",
    "out of memory": "did not fit in memory",
    "timed out": "fell silent and were ended",
    "error": "failed",
}
"""How a stop reason is told after a number of trials."""


def confirmed(results: Results) -> Iterator[str]:
    """The configurations that were trained again with other seeds; nothing if none was."""
    if results.confirmed.empty:
        return
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


def front(results: Results) -> Iterator[str]:
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
    yield (
        f"No other trial beats {'this one' if len(rows) == 1 else f'these {len(rows)}'} of {len(results.trials)} in "
        f"{', '.join(['Dice', *names[:-1]])} and {names[-1]} at once."
    )
    yield table(["trial", "Dice", *names, *map(escape, searched)], rows)


def endings(results: Results) -> Iterator[str]:
    """How many trials ended in which way, and the errors."""
    trials = results.trials
    ending = trials["stop_reason"].fillna(trials["state"].str.lower()).value_counts()
    if len(ending):
        yield ", ".join(f"{number} {ENDINGS.get(str(name), escape(name))}" for name, number in ending.items()) + "."
    errors = trials[trials["state"] == "FAIL"].copy()
    if len(errors):
        errors["line"] = [last_line(error) for error in errors["error"]]
        rows = [[escape(line), listed(list(numbers))] for line, numbers in errors.groupby("line", sort=False)["number"]]
        yield table(["error", "trials"], rows)


def _objective(value: Any, name: str) -> str:
    return duration(value) if name == "training_seconds" else f"{value:.2f} GiB"
