"""Several sweeps side by side: whether their scores may be compared at all, and if so by how much the bests differ."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

import pandas as pd

from tuner.best import Run
from tuner.config import SweepConfig
from tuner.markdown import amount
from tuner.report_answer import cases_of
from tuner.results import Results
from tuner.terminator import error_of_difference, spread_of_seeds

CHANCE = 0.05
"""A difference is called clear if as large a one comes by chance less often."""

Part = Literal["validation", "test"]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One of the sweeps, as it stands."""

    label: str
    """Its name; its folder where another has the same name."""

    config: SweepConfig
    results: Results
    environment: Mapping[str, Any]
    split: Mapping[str, Sequence[str]]

    @property
    def runs(self) -> list[Run]:
        """Those that speak for its best configuration; none before the first evaluation."""
        return list(self.results.best.runs) if self.results.best else []

    def scores(self, part: Part) -> pd.Series:
        """Each case's mean Dice over the classes and `runs`, by case."""
        return cases_of(self.results, self.runs, part).mean(axis=1).astype(float)

    def score(self, part: Part) -> float | None:
        """The best configuration's mean Dice; None where there is none."""
        if part == "validation":
            return self.results.best.score if self.results.best else None
        scores = self.scores("test")
        return float(scores.mean()) if len(scores) else None

    @cached_property
    def best_so_far(self) -> pd.DataFrame:
        """A row each time that a trial of the search reached the full budget with a higher Dice than any before.

        `seconds` is since the first trial began, pauses between drivers included; `number` the trial's; `score` its
        validation Dice.
        """
        trials = self.results.trials
        ended = trials[(trials["state"] == "COMPLETE") & trials["score"].notna()].dropna(subset="ended")
        ended = ended.sort_values("ended", kind="stable")
        rising = ended[ended["score"] > ended["score"].cummax().shift(fill_value=-math.inf)]
        seconds = (rising["ended"] - trials["started"].min()).dt.total_seconds()
        return rising[["number", "score"]].assign(seconds=seconds).reset_index(drop=True)

    @property
    def searched_seconds(self) -> float:
        """From the first trial's start to the last one's end; 0 before any has ended."""
        trials = self.results.trials
        seconds = (trials["ended"].max() - trials["started"].min()).total_seconds()
        return 0.0 if math.isnan(seconds) else float(seconds)

    @property
    def content(self) -> str | None:
        """What tells data sets apart: the hash of their files."""
        known = self.environment.get("dataset", {}).get("content_hash")
        return known or self.results.terms.get("dataset", {}).get("content")


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Two sweeps' best configurations on the same cases."""

    first: Compared
    second: Compared
    part: Part
    differences: pd.Series
    """First minus second, by case."""

    @property
    def mean(self) -> float:
        return float(self.differences.mean())

    @property
    def spread(self) -> float:
        """Standard deviation over the cases; NaN of a single one."""
        return float(self.differences.std())

    @property
    def better(self) -> int:
        """In how many cases the first is better."""
        return int((self.differences > 0).sum())

    @cached_property
    def chance(self) -> float:
        """The two-sided p-value of Wilcoxon's signed-rank test; 1 where no case differs."""
        from scipy.stats import wilcoxon

        if not self.differences.any():
            return 1.0
        return float(wilcoxon(self.differences).pvalue)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All of them."""

    sweeps: Sequence[Compared]

    @cached_property
    def part(self) -> Part:
        """What is compared: test cases, which no search saw, where all were tested on the same; else validation."""
        tested = [frozenset(sweep.scores("test").index) for sweep in self.sweeps]
        return "test" if self._same_data and tested[0] and len(set(tested)) == 1 else "validation"

    @cached_property
    def ranked(self) -> list[Compared]:
        """Those that have a Dice, best first."""
        scored = [(score, sweep) for sweep in self.sweeps if (score := sweep.score(self.part)) is not None]
        return [sweep for _, sweep in sorted(scored, key=lambda pair: -pair[0])]

    @cached_property
    def obstacles(self) -> list[str]:
        """Why no sweep may be called better than another; empty where they may be compared."""
        return list(self._obstacles())

    def _obstacles(self) -> Iterator[str]:
        configs = [sweep.config for sweep in self.sweeps]
        if _differ(config.trainable for config in configs):
            yield "they train different things (`trainable`)"
        if _differ((config.budget.unit, config.budget.maximum) for config in configs):
            told = ", ".join(amount(config.budget.maximum, config.budget.unit) for config in configs)
            yield f"a trial's full budget differs: {told}"
        if not self._same_data:
            yield "the data sets differ"
        elif self.part == "validation":
            if _differ(frozenset(sweep.split.get("validation", ())) for sweep in self.sweeps):
                yield "the split differs, so that other cases validate"
            if _differ(config.preprocessing for config in configs):
                yield "the data were prepared differently, and validation Dice counts prepared voxels"
        for sweep in self.ranked:
            if sweep.results.best and sweep.results.best.basis == "unfinished":
                yield f"no trial of {sweep.label} has reached the full budget"
        if _differ((config.dataset.labels, config.dataset.regions) for config in configs if config.dataset):
            yield "other classes are learned"

    @cached_property
    def _same_data(self) -> bool:
        contents = {sweep.content for sweep in self.sweeps}
        if None in contents:  # of an older version, or without data
            return not _differ(sweep.config.dataset and sweep.config.dataset.path for sweep in self.sweeps)
        return len(contents) == 1

    @cached_property
    def pairs(self) -> list[Paired]:
        """Each two of `ranked`, the better first, over the cases that both were scored on; none across data sets."""
        if not self._same_data:
            return []
        found = []
        for first, second in combinations(self.ranked, 2):
            differences = (first.scores(self.part) - second.scores(self.part)).dropna()
            if len(differences):
                found.append(Paired(first=first, second=second, part=self.part, differences=differences))
        return found

    def pair(self, first: Compared, second: Compared) -> Paired | None:
        """That of these two."""
        return next((pair for pair in self.pairs if pair.first is first and pair.second is second), None)

    def seeds_error(self, first: Compared, second: Compared) -> float | None:
        """The standard error that seeds give the difference of two bests; None where no seeds were repeated.

        The spread between seeds is pooled over both sweeps' repeats.
        """
        spreads = [spread_of_seeds(sweep.results.confirm_trials) for sweep in (first, second)]
        known = [spread for spread in spreads if spread is not None]
        if not known:
            return None
        pooled = math.sqrt(sum(spread**2 for spread in known) / len(known))
        return error_of_difference(pooled, len(first.runs), len(second.runs))


def _differ(values: Iterable[Any]) -> bool:
    found = list(values)
    return any(value != found[0] for value in found)
