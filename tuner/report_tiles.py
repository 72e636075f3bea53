"""The figures at the head of the report's page: how good, how much better than the default, what it took."""

from collections.abc import Iterator, Sequence

from tuner.best import Run
from tuner.chapters import Tile, Tiles
from tuner.config import SweepConfig
from tuner.durations import duration
from tuner.markdown import count, dice
from tuner.report_answer import budget_share, cases_of, comparable, test_means, trials_left
from tuner.results import Results
from tuner.spent import spent


def tiles(config: SweepConfig, results: Results, *, price: float | None) -> Tiles:
    """As many of them as are known."""
    return Tiles(tiles=[*_quality(results), *_effort(config, results, price)])


def _quality(results: Results) -> Iterator[Tile]:
    best, default = results.best, results.default
    if best is None:
        return
    share = "" if best.run.finished else f"at {budget_share(best.run.step)} of the budget; "
    yield Tile(value=dice(best.score), name="validation Dice", note=share + _spread(results, best.runs))
    tested = test_means(results, list(best.runs))
    if len(tested):
        cases = cases_of(results, list(best.runs), "test").mean(axis=1)
        over = f"± {cases.std():.4f} over {count(len(cases), 'case')}" if len(cases) > 1 else "one case"
        yield Tile(value=dice(tested.mean()), name="test Dice", note=f"{over} that the search never saw")
    if default and default.step == best.runs[0].step and default.number != best.number:
        runs = comparable(results, default)
        score = sum(run.score for run in runs) / len(runs)
        yield Tile(
            value=f"{best.score - score:+.4f}".replace("-", "\N{MINUS SIGN}"),
            name="against the default",
            note=f"which has {dice(score)}",
        )


def _spread(results: Results, runs: Sequence[Run]) -> str:
    cases = cases_of(results, list(runs), "validation").mean(axis=1)
    over = [f"± {cases.std():.4f} over {count(len(cases), 'case')}"] if len(cases) > 1 else []
    return ", ".join([*over, f"mean of {len(runs)} seeds" if len(runs) > 1 else "one seed"])


def _effort(config: SweepConfig, results: Results, price: float | None) -> Iterator[Tile]:
    found = spent(config, results)
    if found is None:
        return
    if found.seconds is not None:
        trials = count(len(results.trials), "trial")
        repeats = f" and {count(len(results.repeats), 'repeat')}" if len(results.repeats) else ""
        yield Tile(value=duration(found.seconds), name="took", note=trials + repeats)
    again = "so far" if trials_left(results) else "and as many for the same search again"
    if price is not None and found.device_hours is not None:
        again = f"{price * found.device_hours:.2f} at {price:g} an hour, {again}"
    value, _, unit = found.amount.partition(" ")
    yield Tile(value=value, name=unit, note=again)
