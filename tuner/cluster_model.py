"""A model of a search on a cluster: how long it takes, and what its slots and its driver do, on any number of slots.

A discrete-event simulation. Trials are known beforehand: their seconds up to each rung and their scores there. A slot
runs a trial after another; at each rung it waits for the driver's word, which judges by the sweep's own rule. The
driver is one process that answers one after another: with enough slots it is what all wait for.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from tuner.rungs import SuccessiveHalving


@dataclass(frozen=True, kw_only=True)
class TrialTimes:
    """What one trial does if nobody stops it."""

    seconds: tuple[float, ...]
    """From rung to rung, on the devices of one slot: training and evaluation, the first from the trial's begin."""

    scores: tuple[float, ...]
    """At each rung."""

    def __post_init__(self) -> None:
        if not self.seconds or len(self.seconds) != len(self.scores) or min(self.seconds) < 0:
            raise ValueError(f"a trial needs a time, 0 or more, and a score for each rung, got {self}")


@dataclass(frozen=True, kw_only=True)
class Overheads:
    """Seconds that are no trial's own."""

    start: float = 0.0
    """Until the slots are up: once a search."""

    between: float = 0.0
    """On a slot, from the driver's word to the trial's first step."""

    report: float = 0.0
    """Of the driver, for each report of a trial."""

    proposal: float = 0.0
    """Of the driver, for each trial that it hands out."""


@dataclass(frozen=True, kw_only=True)
class Modelled:
    """How a search went in the model."""

    seconds: float
    """From the search's begin to its last trial's end."""

    durations: tuple[float, ...]
    """Seconds that each trial trained and evaluated."""

    slots: int
    driver_seconds: float
    """That the driver worked."""

    tail_seconds: float
    """Summed over the slots, from the end of a slot's last trial to that of the last one's."""

    @property
    def busy(self) -> float:
        """Share of the slots' time in training and evaluation."""
        return sum(self.durations) / (self.slots * self.seconds)

    @property
    def driver_busy(self) -> float:
        """Share of the time that the driver worked: near 1 the slots wait for it."""
        return self.driver_seconds / self.seconds


def simulate(
    trials: Sequence[TrialTimes], *, slots: int, overheads: Overheads, rungs: SuccessiveHalving | None = None
) -> Modelled:
    """Run `trials` in their order on `slots` slots.

    Args:
        rungs: by which trials are stopped; their rungs must have as many steps as it. None stops none.
    """
    scores: dict[int, dict[int, float]] = {}
    durations = [0.0] * len(trials)
    last_end = [0.0] * slots
    driver_free = driver_seconds = end = 0.0
    waiting = iter(range(len(trials)))
    # When, in which order they came, on which slot, which trial, which of its rungs it has reached; None: it is free.
    events: list[tuple[float, int, int, int | None, int]] = [
        (overheads.start, slot, slot, None, 0) for slot in range(slots)
    ]
    came = slots
    while events:
        now, _, slot, trial, rung = heapq.heappop(events)
        if trial is None:
            trial, rung = next(waiting, None), -1
            if trial is None:
                continue
            cost = overheads.proposal
        else:
            cost = overheads.report
        driver_free = max(now, driver_free) + cost
        driver_seconds += cost
        goes_on = rung < 0 or _goes_on(trials[trial], trial, rung, scores, rungs)
        came += 1
        if goes_on:
            seconds = trials[trial].seconds[rung + 1]
            durations[trial] += seconds
            began = driver_free + (overheads.between if rung < 0 else 0.0)
            heapq.heappush(events, (began + seconds, came, slot, trial, rung + 1))
        else:
            last_end[slot] = now
            end = max(end, driver_free)
            heapq.heappush(events, (driver_free, came, slot, None, 0))
    return Modelled(
        seconds=end,
        durations=tuple(durations),
        slots=slots,
        driver_seconds=driver_seconds,
        tail_seconds=sum(end - ended for ended in last_end),
    )


def _goes_on(
    times: TrialTimes, trial: int, rung: int, scores: dict[int, dict[int, float]], rungs: SuccessiveHalving | None
) -> bool:
    """Whether a trial that has reached a rung goes on from there."""
    at_rung = scores.setdefault(rung, {})
    at_rung[trial] = times.scores[rung]
    if rung + 1 == len(times.seconds):
        return False
    return rungs is None or not rungs.judges(rungs.steps[rung]) or rungs.goes_on(trial, at_rung)


def list_schedule(durations: Sequence[float], slots: int) -> float:
    """Seconds that trials take which are handed out in their order, each to the slot that is free first, and cost
    nothing besides: the bound of any search that hands them out in this order (Graham, 1966)."""
    free = [0.0] * slots
    for duration in durations:
        heapq.heappush(free, heapq.heappop(free) + duration)
    return max(free)


@dataclass(frozen=True, kw_only=True)
class Observed:
    """A search that was run, from its first trial's begin to its last one's end."""

    slots: int
    seconds: float
    durations: tuple[float, ...]
    """Seconds that each trial trained and evaluated, in the order in which they began."""

    answers: int
    """Of the driver: reports that it heard, and trials that it handed out."""

    driver_seconds: float
    """Of a processor core, that it took for them."""

    @property
    def bound(self) -> float:
        """Seconds that its trials would have taken without overhead."""
        return list_schedule(self.durations, self.slots)


def fit_overheads(searches: Sequence[Observed]) -> Overheads:
    """What made these searches longer than their bound: the driver's answers, a report's and a proposal's alike; the
    rest lies on the slots, between their trials.

    What the driver takes of the processor whether it is asked or not, for the table that it shows say, keeps nobody
    waiting and is told apart by searches of different length.
    """
    answers = np.array([search.answers for search in searches], float)
    driver = np.array([search.driver_seconds for search in searches])
    if len({search.slots for search in searches}) > 1:
        causes = np.column_stack([answers, [search.seconds for search in searches]])
        each = float(nnls(causes, driver)[0][0])
    else:
        each = float(driver.sum() / answers.sum())
    trials = sum(len(search.durations) for search in searches)
    lost = sum(search.slots * (search.seconds - search.bound) for search in searches)
    return Overheads(report=each, proposal=each, between=max(0.0, (lost - each * float(answers.sum())) / trials))
