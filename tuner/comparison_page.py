"""What a comparison of sweeps says: which found the better configuration, if that can be said, and all side by side."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from tuner.chapters import Block, Chapter, Chart
from tuner.comparison import CHANCE, Compared, Comparison, Paired
from tuner.durations import duration
from tuner.markdown import amount, count, dice, escape, setting, spread, table
from tuner.report_answer import cases_of, comparable, over_seeds, test_means, trials_left, with_seeds
from tuner.spent import Spent, spent
from tuner.terminator import SEEDS_ERRORS


def comparison_chapters(comparison: Comparison, *, price: float | None) -> list[Chapter]:
    """In order; a page leaves out those that say nothing."""
    chapters: Mapping[str, Iterable[Block]] = {
        "": _answer(comparison),
        "Best so far": _progress(comparison),
        "Side by side": _side_by_side(comparison, price),
        "Case by case": _pairs(comparison),
        "What was searched": _spaces(comparison),
    }
    return [Chapter.of(title, blocks) for title, blocks in chapters.items()]


def _answer(comparison: Comparison) -> Iterator[Block]:
    ranked, part = comparison.ranked, comparison.part
    if comparison.obstacles:
        obstacles = escape("; ".join(comparison.obstacles))
        yield f"**Which is better can't be said:** {obstacles}. Below they stand side by side."
    elif len(ranked) > 1:
        first = ranked[0]
        for second in ranked[1:]:
            yield _verdict(comparison, first, second)
        if part == "test":
            yield "Test Dice is of cases that no search saw, measured in the files' own grid."
        elif any(sweep.results.best and sweep.results.best.basis != "confirmed" for sweep in ranked):
            yield (
                "Validation Dice of a configuration that was picked by it is biased upwards, the more the more trials "
                "it was picked from."
            )
    for sweep in comparison.sweeps:
        best = sweep.results.best
        if best is None:
            yield f"{escape(sweep.label)} has no trial with a Dice."
        if left := trials_left(sweep.results):
            yield f"{escape(sweep.label)} is not over: {count(left, 'trial')} to go."


def _verdict(comparison: Comparison, first: Compared, second: Compared) -> str:
    """The better one against another: by how much, and whether that is more than luck."""
    scores = [sweep.score(comparison.part) for sweep in (first, second)]
    assert scores[0] is not None
    assert scores[1] is not None
    names, difference = [escape(sweep.label) for sweep in (first, second)], scores[0] - scores[1]
    pair, error = comparison.pair(first, second), comparison.seeds_error(first, second)
    clear_cases = pair is not None and pair.chance < CHANCE
    clear_seeds = error is not None and difference > SEEDS_ERRORS * error
    told = f"mean {comparison.part} Dice {dice(scores[0])} against {dice(scores[1])} of {names[1]}"
    grounds = [_of_cases(pair)] if pair else []
    grounds.append("no seeds were repeated" if error is None else f"seeds alone move it by ± {error:.4f}")
    ground = "; ".join(grounds)
    if clear_cases and clear_seeds:
        return f"**{names[0]} found the better configuration: {told}**, {difference:.4f} more. {_sentence(ground)}"
    if clear_cases and error is None:
        return (
            f"**{names[0]}'s best is better on these cases: {told}**, {difference:.4f} more. {_sentence(ground)} "
            "Whether it would be with other seeds is not known."
        )
    return f"**{names[0]}'s best is {difference:.4f} higher, which may be luck:** {told}. {_sentence(ground)}"


def _of_cases(pair: Paired) -> str:
    over = f"over the same {count(len(pair.differences), 'case')}"
    deviation = f" ± {pair.spread:.4f}" if len(pair.differences) > 1 else ""
    return f"{over} the difference is {pair.mean:+.4f}{deviation} (Wilcoxon p = {pair.chance:.2g})"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _progress(comparison: Comparison) -> Iterator[Block]:
    yield Chart(keys=["best_so_far"], alt="The best Dice at the full budget over the time since the first trial began")
    finals = [sweep.score("validation") for sweep in comparison.sweeps]
    if comparison.obstacles or None in finals:
        return
    least = min(score for score in finals if score is not None)
    reached = [(sweep.label, _reached(sweep, least)) for sweep in comparison.sweeps]
    told = ", ".join(f"{escape(name)} after {duration(seconds)}" for name, seconds in reached if seconds is not None)
    if told:
        yield f"At the full budget {dice(least)}, the lowest of their bests, was reached by {told}."


def _reached(sweep: Compared, score: float) -> float | None:
    rising = sweep.best_so_far
    enough = rising[rising["score"] >= score - 1e-9]
    return float(enough["seconds"].iloc[0]) if len(enough) else None


def _side_by_side(comparison: Comparison, price: float | None) -> Iterator[Block]:
    sweeps = comparison.sweeps
    yield table(["", *(escape(sweep.label) for sweep in sweeps)], [*_scores(sweeps), *_effort(sweeps, price)])
    yield "± is the standard deviation: over seeds in the lines of means, over cases in the others."


def _scores(sweeps: Iterable[Compared]) -> Iterator[list[str]]:
    sweeps = list(sweeps)
    rows: Mapping[str, Callable[[Compared], str]] = {
        "**mean validation Dice**": lambda sweep: over_seeds(sweep.runs) if sweep.runs else "none",
        "over the cases": lambda sweep: _deviation(sweep.scores("validation")),
        "**mean test Dice**": lambda sweep: with_seeds(test_means(sweep.results, sweep.runs)),
        "over the test cases": lambda sweep: _deviation(sweep.scores("test")),
        "default configuration": _default,
    }
    for name, told in rows.items():
        cells = [told(sweep) for sweep in sweeps]
        if any(cells):
            yield [name, *cells]
    per_class = [_classes(sweep) for sweep in sweeps]
    for name in dict.fromkeys(name for classes in per_class for name in classes):
        yield [f"validation, {escape(name)}", *(classes.get(name, "") for classes in per_class)]
    yield ["best trial", *(str(sweep.results.best.number) if sweep.results.best else "" for sweep in sweeps)]
    for name in dict.fromkeys(name for sweep in sweeps for name in sweep.results.space):
        cells = [_parameter(sweep, name) for sweep in sweeps]
        if any(name in sweep.results.space.searched for sweep in sweeps) or len(set(cells)) > 1:
            yield [escape(name), *cells]


def _effort(sweeps: Iterable[Compared], price: float | None) -> Iterator[list[str]]:
    sweeps = list(sweeps)
    yield ["full budget", *(amount(sweep.config.budget.maximum, sweep.config.budget.unit) for sweep in sweeps)]
    yield ["trials", *(str(len(sweep.results.trials)) for sweep in sweeps)]
    found = [spent(sweep.config, sweep.results) for sweep in sweeps]
    yield ["took", *("" if one is None or one.seconds is None else duration(one.seconds) for one in found)]
    yield ["slots", *("" if one is None else str(one.slots) for one in found)]
    yield ["held", *("" if one is None else one.amount for one in found)]
    if price is not None:
        yield [f"cost at {price:g} an hour", *(_cost(one, price) for one in found)]


def _cost(found: Spent | None, price: float) -> str:
    return "" if found is None or found.device_hours is None else f"{price * found.device_hours:.2f}"


def _default(sweep: Compared) -> str:
    default = sweep.results.default
    return over_seeds(comparable(sweep.results, default)).replace("**", "") if default and default.step else ""


def _classes(sweep: Compared) -> dict[str, str]:
    cases = cases_of(sweep.results, sweep.runs, "validation")
    return {str(name): spread(cases[name]) for name in cases.columns} if len(cases.columns) > 1 else {}


def _parameter(sweep: Compared, name: str) -> str:
    """Of the best configuration; what is fixed says so."""
    space, best = sweep.results.space, sweep.results.best
    if name in space.fixed:
        return f"{setting(space.fixed[name])} (fixed)"
    return setting(best.parameters[name]) if best and name in best.parameters else ""


def _deviation(scores: pd.Series) -> str:
    return f"± {scores.std():.4f} ({len(scores)})" if len(scores) > 1 else ""


def _pairs(comparison: Comparison) -> Iterator[Block]:
    if not comparison.pairs:
        return
    rows = [
        [
            f"{escape(pair.first.label)} less {escape(pair.second.label)}",
            str(len(pair.differences)),
            f"{pair.mean:+.4f}" + (f" ± {pair.spread:.4f}" if len(pair.differences) > 1 else ""),
            f"{pair.better} of {len(pair.differences)}",
            f"{pair.chance:.2g}",
        ]
        for pair in comparison.pairs
    ]
    yield table(["Dice of the bests", f"{comparison.part} cases", "mean difference", "better in", "Wilcoxon p"], rows)
    yield (
        "Differences are taken case by case, each case's Dice being the mean over its classes and the runs with other "
        "seeds. ± is their standard deviation; p is two-sided, by Wilcoxon's signed-rank test."
    )


def _spaces(comparison: Comparison) -> Iterator[Block]:
    spaces = [sweep.results.space.to_mapping() for sweep in comparison.sweeps]
    names = dict.fromkeys(name for space in spaces for name in space)
    differing = [name for name in names if any(space.get(name) != spaces[0].get(name) for space in spaces)]
    if not differing:
        yield "All searched the same space."
        return
    rows = [[escape(name), *(_form(space.get(name)) for space in spaces)] for name in differing]
    yield table(["", *(escape(sweep.label) for sweep in comparison.sweeps)], rows)
    if same := [escape(name) for name in names if name not in differing]:
        yield f"The same in all: {', '.join(same)}."


def _form(form: Any) -> str:
    """A parameter as the sweep file has it, in short."""
    if not isinstance(form, Mapping):
        return "" if form is None else f"{setting(form)} (fixed)"
    parts = []
    for key, value in form.items():
        if isinstance(value, list):
            value = ", ".join(setting(item) for item in value)
            parts.append(value if key == "choice" else value.replace(", ", " to "))
        elif value is True:
            parts.append(key)
        elif value not in (False, None):
            parts.append(f"{key} {setting(value)}")
    return ", ".join(parts)
