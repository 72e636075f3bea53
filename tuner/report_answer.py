"""The report's first screen: which configuration is best, how good it is, and what finding it took."""

from collections.abc import Iterator
from typing import Literal

import pandas as pd

from tuner.best import Best, Run, runs_of
from tuner.config import SweepConfig
from tuner.durations import duration
from tuner.markdown import count, dice, escape, setting, spread, table
from tuner.results import Results
from tuner.rungs import FULL_BUDGET


def answer(config: SweepConfig, results: Results) -> Iterator[str]:
    """The paragraphs, in Markdown."""
    trials, best = results.trials, results.best
    if left := trials_left(config, results):
        wanted = max(config.search.trials, len(trials))
        yield f"The sweep is not over: {wanted - left} of {count(wanted, 'trial')} ended."
    if best is None:
        yield "**No trial gave a Dice**, so there is no best configuration. See *How trials ended*."
        return
    yield _verdict(best, len(trials))
    yield _comparison(best, results)
    grid = " Test Dice is measured in the files' own grid." if results.tested else ""
    yield f"± is the standard deviation: over seeds in the first line, over cases in the others.{grid}"
    yield _spent(results)


def trials_left(config: SweepConfig, results: Results) -> int:
    """How many of the trials asked for have not ended, or not begun."""
    ended = sum(trial.state.is_finished() for trial in results.sweep_trials)
    return max(config.search.trials, len(results.sweep_trials)) - ended


def budget_share(step: int) -> str:
    """A step as a share of the full budget."""
    return f"{step / FULL_BUDGET:.1%}".replace(".0%", "%")


def _verdict(best: Best, trials: int) -> str:
    if best.basis == "confirmed":
        mean = dice(pd.Series([run.score for run in best.runs]).mean())
        return (
            f"**Trial {best.number} is best: mean validation Dice {mean}** over {count(len(best.runs), 'seed')}, "
            "the highest of the configurations that were trained again with other seeds."
        )
    score = dice(best.run.score)
    if best.basis == "full budget":
        return (
            f"**Trial {best.number} is best: mean validation Dice {score}**, the highest of {count(trials, 'trial')}. "
            "This is one run with one seed, picked as the best of many: with another seed expect a little less."
        )
    return (
        f"**No trial has reached the full budget.** Of {count(trials, 'trial')} the one that came furthest is "
        f"trial {best.number}: mean validation Dice {score} at {budget_share(best.run.step)} of the budget."
    )


def _comparison(best: Best, results: Results) -> str:
    """The best and the default configuration side by side: Dice, then the searched parameters."""
    columns = {f"best (trial {best.number})": (best.number, list(best.runs))}
    default = results.default
    if default and default.number != best.number and default.step:
        columns[f"default (trial {default.number})"] = (default.number, _comparable(results, default.number))
    numbers, runs = zip(*columns.values(), strict=True)
    rows = [["**mean validation Dice**", *(f"**{_over_seeds(group)}**" for group in runs)]]
    rows += _case_rows([_cases(results, group, "validation") for group in runs])
    tested = [_cases(results, group, "test") for group in runs]
    if any(len(cases) for cases in tested):
        cells = (spread(cases.mean(axis=1)) if len(cases) else "not tested" for cases in tested)
        rows.append([f"**mean test Dice**, {count(max(map(len, tested)), 'case')}", *cells])
    rows.append(["budget used", *(budget_share(max(run.step for run in group)) for group in runs)])
    for name in results.space.searched:
        rows.append([escape(name), *(setting(results.sweep_trials[number].params[name]) for number in numbers)])
    return table(["", *columns], rows)


def _case_rows(tables: list[pd.DataFrame]) -> list[list[str]]:
    """Spread over the cases, each class, and the worst case; nothing where a run reports no cases."""
    first = tables[0]
    if first.empty:
        return []
    deviations = (f"± {cases.mean(axis=1).std():.4f}" if len(cases) > 1 else "" for cases in tables)
    rows = [[f"over {count(len(first), 'case')}", *deviations]]
    if len(first.columns) > 1:
        rows += [[escape(name), *(spread(cases[name]) for cases in tables)] for name in first.columns]
    worst = (cases.mean(axis=1) for cases in tables)
    return [*rows, ["worst case", *(f"{dice(means.min())} ({escape(means.idxmin())})" for means in worst)]]


def _cases(results: Results, runs: list[Run], split: Literal["validation", "test"]) -> pd.DataFrame:
    """Dice by case (rows) and class (columns), the mean over the runs."""
    cases = results.cases[results.cases["split"] == split]
    chosen = pd.Series(False, index=cases.index)
    for run in runs:
        chosen |= (cases["study"] == run.study) & (cases["number"] == run.number)
    return cases[chosen].astype({"dice": float}).pivot_table(index="case", columns="class", values="dice", sort=False)


def _comparable(results: Results, number: int) -> list[Run]:
    """The finished runs of a configuration; the sweep's own if none is."""
    runs = list(runs_of(number, results.sweep_trials, results.confirm_trials))
    return [run for run in runs if run.finished] or runs[:1]


def _over_seeds(runs: list[Run]) -> str:
    text = spread(pd.Series([run.score for run in runs]))
    return f"{text} ({len(runs)} seeds)" if len(runs) > 1 else text


def _spent(results: Results) -> str:
    tables = [results.trials, results.repeats]
    training, evaluation = (
        sum(trials[name].astype(float).sum() for trials in tables)
        for name in ("training_seconds", "evaluation_seconds")
    )
    started = min(trials["started"].min() for trials in tables if len(trials))
    ended = max((trials["ended"].max() for trials in tables if trials["ended"].notna().any()), default=None)
    trials = count(len(results.trials), "trial")
    if len(results.repeats):
        trials += f" and {count(len(results.repeats), 'repeat')} with other seeds"
    text = f"{trials} took {duration(training)} of training and {duration(evaluation)} of evaluation"
    if ended is None:
        return f"{text} so far, since {started:%Y-%m-%d %H:%M}."
    clock = duration((ended - started).total_seconds())
    return f"{text}: {clock} by the clock, {started:%Y-%m-%d %H:%M} to {ended:%Y-%m-%d %H:%M}."
