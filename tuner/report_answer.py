"""The report's first screen: which configuration is best, how good it is, and what finding it took."""

from collections.abc import Iterator
from statistics import fmean
from typing import Literal

import pandas as pd

from tuner.best import Best, Run, ahead_of, repeats_of
from tuner.config import SweepConfig
from tuner.durations import duration
from tuner.markdown import count, dice, escape, setting, spread, table
from tuner.results import OBJECTIVES, Results
from tuner.rungs import FULL_BUDGET
from tuner.spent import Spent, spent
from tuner.terminator import SEEDS_ERRORS, Gain, error_of_difference, spread_of_seeds

HARDLY = 0.01
"""Mean Dice below which a class counts as not found."""


def answer(config: SweepConfig, results: Results, gain: Gain | None, *, price: float | None) -> Iterator[str]:
    """The paragraphs, in Markdown. `price` is of a device's hour, in whatever currency."""
    best = results.best
    unended = sum(not trial.state.is_finished() for trial in results.sweep_trials)
    if unended or results.over:
        yield _progress(config, results, unended)
    if best is None:
        nothing = "**No trial gave a Dice**, so there is no best configuration. See *How trials ended*."
        yield "**No trial has given a Dice yet.**" if unended else nothing
        return
    yield _verdict(best, results)
    if told := ahead(results):
        yield f"**{told}**"
    comparison = _comparison(best, results)
    yield comparison
    for told in (_lead(best, results), _never_found(best, results)):
        if told:
            yield told
    grid = " Test Dice is measured in the files' own grid." if results.tested else ""
    if "±" in comparison:
        yield f"± is the standard deviation: over seeds in the lines of means, over cases in the others.{grid}"
    yield _took(results)
    if found := spent(config, results):
        yield _cost(found, price, so_far=bool(trials_left(results)))
    if gain:
        yield advice(gain)


def _progress(config: SweepConfig, results: Results, unended: int) -> str:
    """How many of the planned trials ended. Where something else may end the search, some may be left over."""
    ended = sum(trial.state.is_finished() for trial in results.begun)
    if results.over:
        planned = f" of {count(ended + unended, 'trial')}" if unended else ""
        return f"The search ended after {ended}{planned}: {results.over}."
    if config.search.minutes or config.search.device_hours or config.search.terminate:
        return f"{ended} of at most {count(ended + unended, 'trial')} ended."
    return f"The sweep is not over: {ended} of {count(ended + unended, 'trial')} ended."


def trials_left(results: Results) -> int:
    """How many trials, planned ones and the confirm stage's included, have not ended."""
    return sum(not trial.state.is_finished() for trial in (*results.sweep_trials, *results.confirm_trials))


def advice(gain: Gain) -> str:
    """Whether more trials are worth it, in one sentence."""
    error = {"seeds": "the spread between seeds", "cases": "the standard error over the cases"}[gain.error_of]
    rests = f"by a Gaussian process over the {gain.trials} trials that reached the full budget"
    if gain.pays:
        return (
            f"**More trials may pay:** {rests}, the space may hold a configuration better than the best "
            f"one found by up to {dice(gain.bound)} Dice, and {error} is {dice(gain.error)}."
        )
    return (
        f"**Stopping is reasonable:** {rests}, no configuration of the space is likely to be better than the best one "
        f"found by more than {dice(gain.bound)} Dice, and {error} is {dice(gain.error)}."
    )


def budget_share(step: int) -> str:
    """A step as a share of the full budget."""
    return f"{step / FULL_BUDGET:.1%}".replace(".0%", "%")


def _verdict(best: Best, results: Results) -> str:
    score, trials = dice(best.score), count(len(results.trials), "trial")
    is_default = results.default is not None and results.default.number == best.number
    default = " It is the default configuration: the search found none that is better." if is_default else ""
    front = _front(best, results)
    if best.basis == "confirmed":
        luck = " and so is likely to have been lucky" if best.found.score > best.score else ""
        return (
            f"**Trial {best.number} is best: mean validation Dice {score}** over {_seeds(len(best.repeats))}, the "
            f"highest of the configurations that were trained again.{default} (The search's own run, which got it "
            f"picked{luck}, had {dice(best.found.score)} and is not in the mean.){front}"
        )
    if best.basis == "full budget":
        return (
            f"**Trial {best.number} is best: mean validation Dice {score}**, the highest of {trials}.{default} "
            f"This is one run with one seed, picked as the best of many: with another seed expect a little less.{front}"
        )
    return (
        f"**No trial has reached the full budget.** Of {trials} the one that came furthest is "
        f"trial {best.number}: mean validation Dice {score} at {budget_share(best.run.step)} of the budget."
    )


def ahead(results: Results) -> str | None:
    """That a trial is better than the best one but has not ended, in one sentence; None if none is."""
    run = ahead_of(results.best, results.sweep_trials) if results.best else None
    if run is None:
        return None
    return (
        f"Trial {run.number} is unfinished and ahead of it: Dice {dice(run.score)} after {budget_share(run.step)} of "
        "the budget; resume the sweep, with more time where that is over, to have it trained on."
    )


def _front(best: Best, results: Results) -> str:
    """With several objectives: that best is by Dice alone, and what else there is to choose from."""
    if not results.front:
        return ""
    others = " and ".join(OBJECTIVES[name] for name in results.objectives if name != "dice")
    where = "has the highest Dice of the Pareto front" if best.number in results.front else "is not on the Pareto front"
    return f" The search was for low {others} too: this trial {where}, which stands below."


def _comparison(best: Best, results: Results) -> str:
    """The best and the default configuration side by side: Dice, then the searched parameters."""
    columns = {f"best (trial {best.number})": (best.number, list(best.runs))}
    default = results.default
    if default and default.number != best.number and default.step:
        columns[f"default (trial {default.number})"] = (default.number, comparable(results, default))
    numbers, runs = zip(*columns.values(), strict=True)
    rows = [["**mean validation Dice**", *map(over_seeds, runs)]]
    rows += _case_rows([cases_of(results, group, "validation") for group in runs])
    tested = [test_means(results, group) for group in runs]
    if any(map(len, tested)):
        rows.append(["**mean test Dice**", *map(_spread_or_not, tested)])
        cases = [cases_of(results, group, "test").mean(axis=1) for group in runs]
        rows.append([f"over {count(max(map(len, cases)), 'test case')}", *map(_deviation, cases)])
    rows.append(["budget used", *(budget_share(max(run.step for run in group)) for group in runs)])
    for name in results.space.searched:
        rows.append([escape(name), *(setting(results.sweep_trials[number].params[name]) for number in numbers)])
    return table(["", *columns], rows)


def _lead(best: Best, results: Results) -> str | None:
    """Whether several seeds tell the best apart from the default configuration or, where it is that one, from the next
    best that was trained again; None where they can't say."""
    rival, spread = _rival(best, results), spread_of_seeds(results.confirm_trials)
    if rival is None or spread is None:
        return None
    name, runs = rival
    lead = fmean(run.score for run in best.runs) - fmean(run.score for run in runs)
    error = error_of_difference(spread, len(best.runs), len(runs))
    if lead > SEEDS_ERRORS * error:
        return f"It is ahead of {name} by {lead:.4f}, twice the standard error being {SEEDS_ERRORS * error:.4f}."
    return (
        f"**It is not told apart from {name}:** the difference is {lead:+.4f}, and twice its standard error over the "
        f"seeds {SEEDS_ERRORS * error:.4f}. More seeds (`confirm.seeds`) or more cases would tell."
    )


def _rival(best: Best, results: Results) -> tuple[str, list[Run]] | None:
    """Whom the best is to be told apart from, and the finished runs of it; None if there is nobody."""
    default = results.default
    if default and default.number != best.number:
        return ("the default configuration", comparable(results, default)) if default.finished else None
    repeated = {trial.user_attrs["of"] for trial in results.confirm_trials} - {best.number}
    runs = {number: [run for run in repeats_of(number, results.confirm_trials) if run.finished] for number in repeated}
    means = {number: fmean(run.score for run in group) for number, group in runs.items() if group}
    if not means:
        return None
    number = max(means, key=lambda one: means[one])
    return f"trial {number}", runs[number]


def _never_found(best: Best, results: Results) -> str | None:
    """Which classes the best hardly finds at all, in a sentence."""
    means = cases_of(results, list(best.runs), "validation").mean()
    names = [escape(name) for name, mean in means.items() if mean < HARDLY]
    return f"**It finds next to nothing of {', '.join(names)}.** Is the budget too small?" if names else None


def _case_rows(tables: list[pd.DataFrame]) -> list[list[str]]:
    """Spread over the cases, each class, and the worst case; nothing where the first reports no cases.

    The others may report other cases or classes, or none: a trainable is free to, and a study may be a stranger's.
    """
    first = tables[0]
    if first.empty:
        return []
    rows = [[f"over {count(len(first), 'case')}", *(_deviation(cases.mean(axis=1)) for cases in tables)]]
    if len(first.columns) > 1:
        rows += [
            [escape(name), *(spread(cases[name]) if name in cases else "" for cases in tables)]
            for name in first.columns
        ]
    worst = [cases.mean(axis=1) for cases in tables]
    told = [f"{dice(means.min())} ({escape(means.idxmin())})" if len(means) else "" for means in worst]
    return [*rows, ["worst case", *told]]


def cases_of(results: Results, runs: list[Run], split: Literal["validation", "test"]) -> pd.DataFrame:
    """Dice by case (rows) and class (columns), the mean over the runs."""
    cases = results.cases[results.cases["split"] == split]
    chosen = pd.Series(False, index=cases.index)
    for run in runs:
        chosen |= (cases["study"] == run.study) & (cases["number"] == run.number)
    return cases[chosen].astype({"dice": float}).pivot_table(index="case", columns="class", values="dice", sort=False)


def comparable(results: Results, default: Run) -> list[Run]:
    """The default configuration's finished runs with other seeds, if it was confirmed too; else the search's own."""
    repeats = repeats_of(default.number, results.confirm_trials)
    return [run for run in repeats if run.finished] or [default]


def test_means(results: Results, runs: list[Run]) -> pd.Series:
    """Each run's mean test Dice, of those that were tested."""
    return pd.Series([results.case_scores(run, "test").mean() for run in runs], dtype=float).dropna()


def _spread_or_not(means: pd.Series) -> str:
    return f"**{with_seeds(means)}**" if len(means) else "not tested"


def _deviation(values: pd.Series) -> str:
    return f"± {values.std():.4f}" if len(values) > 1 else ""


def over_seeds(runs: list[Run]) -> str:
    """In bold; where the budget was not used up, at which share of it."""
    share = "" if runs[0].finished else f" at {budget_share(runs[0].step)}"
    return f"**{with_seeds(pd.Series([run.score for run in runs]))}**{share}"


def with_seeds(means: pd.Series) -> str:
    return f"{spread(means)} ({len(means)} seeds)" if len(means) > 1 else spread(means)


def _seeds(number: int) -> str:
    return "one other seed" if number == 1 else f"{number} other seeds"


def _took(results: Results) -> str:
    tables = [results.trials, results.repeats]
    training, evaluation = (
        sum(trials[name].astype(float).sum() for trials in tables)
        for name in ("training_seconds", "evaluation_seconds")
    )
    trials = count(len(results.trials), "trial")
    if len(results.repeats):
        trials += f" and {count(len(results.repeats), 'repeat')} with other seeds"
    text = f"{trials} took {duration(training)} of training and {duration(evaluation)} of evaluation"
    started = min(trials["started"].min() for trials in tables if len(trials))
    ended = max((trials["ended"].max() for trials in tables if trials["ended"].notna().any()), default=None)
    if ended is None:
        return f"{text} so far, since {started:%Y-%m-%d %H:%M}."
    passed = duration((ended - started).total_seconds())
    return (
        f"{text}. From the first one's start to the last one's end {passed} passed "
        f"({started:%Y-%m-%d %H:%M} to {ended:%Y-%m-%d %H:%M})."
    )


def _cost(found: Spent, price: float | None, *, so_far: bool) -> str:
    """What devices were held, and what the same search would cost again."""
    text = f"{count(found.slots, 'slot')} held {found.amount}"
    if found.per_trial is not None:
        devices = f"{found.per_trial:g} {found.device}{'s' * (found.per_trial > 1)}"
        text = f"{count(found.slots, 'slot')} of {devices} {'each ' * (found.slots > 1)}held {found.amount}"
    again = "" if so_far else "; the same search again takes about as many"
    text += f"{' so far' if so_far else ''}, idle times included{again}"
    if price is None or found.device_hours is None:
        return f"{text}."
    return f"{text}, which cost {price * found.device_hours:.2f} at a price of {price:g} a {found.device}-hour."
