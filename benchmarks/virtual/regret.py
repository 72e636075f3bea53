"""Regret over time, and how long one method needs to reach what another ends with.

All is said of the mean regret over a task's seeds, and then over the tasks as a geometric mean.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NEVER = 2.0
"""A method that does not reach a level within its search counts as needing this many times the search's length."""

FLOOR = 0.01
"""% accuracy: smaller final regrets count as this, since a geometric mean takes no zero."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """One finished search; `improvements` are its incumbent's as (seconds, score in %), both ascending."""

    task: str
    seed: int
    workers: int
    method: str
    seconds: float
    """How long it lasted."""

    random_best: float
    """The best score of random configurations, in %."""

    improvements: tuple[tuple[float, float], ...]

    def score_at(self, moment: float) -> float:
        """The incumbent's score; 0 before the first report."""
        return max((score for time, score in self.improvements if time <= moment), default=0.0)


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How one method's time to another's final regret compares with the other's own, over tasks."""

    geometric_mean: float
    """The other's time is when it first reached what it ended with."""

    of_whole: float
    """The same with the other's time taken as its whole search: kinder to ours where the other stands still early."""

    never: int
    """Tasks on which the level was not reached."""

    behind: int
    """Tasks on which the final regret is above the other's."""

    tasks: int


def best_scores(searches: Iterable[Search]) -> dict[str, float]:
    """By task, the best score known: where regret is counted from."""
    best: dict[str, float] = {}
    for search in searches:
        found = max([search.random_best, *(score for _, score in search.improvements)])
        best[search.task] = max(best.get(search.task, -math.inf), found)
    return best


def mean_regret(searches: Sequence[Search], best: float, moment: float) -> float:
    """Of one method's seeds on one task, in % accuracy."""
    return statistics.fmean(best - search.score_at(moment) for search in searches)


def time_to(searches: Sequence[Search], best: float, level: float) -> float | None:
    """When the mean regret over the seeds is first at or below `level`, in seconds; None: never."""
    moments = sorted({time for search in searches for time, _ in search.improvements if time <= search.seconds})
    return next((time for time in moments if mean_regret(searches, best, time) <= level + 1e-9), None)


def final_regret(groups: Iterable[tuple[Sequence[Search], float]]) -> float:
    """Geometric mean over tasks of the final mean regret; each group is a task's searches and its best score."""
    finals = [mean_regret(searches, best, searches[0].seconds) for searches, best in groups]
    return math.exp(statistics.fmean(math.log(max(final, FLOOR)) for final in finals))


def compare(pairs: Iterable[tuple[Sequence[Search], Sequence[Search], float]]) -> Ratio:
    """One method with another, over tasks: each pair is ours' searches, the other's, and the task's best score."""
    logs, whole, never, behind = [], [], 0, 0
    for ours, other, best in pairs:
        end = other[0].seconds
        level = mean_regret(other, best, end)
        theirs = time_to(other, best, level)
        assert theirs is not None  # it ended there
        reached = time_to(ours, best, level)
        never += reached is None
        behind += mean_regret(ours, best, end) > level + 1e-9
        needed = NEVER * end if reached is None else reached
        logs.append(math.log(needed / theirs))
        whole.append(math.log(needed / end))
    return Ratio(
        geometric_mean=math.exp(statistics.fmean(logs)),
        of_whole=math.exp(statistics.fmean(whole)),
        never=never,
        behind=behind,
        tasks=len(logs),
    )
