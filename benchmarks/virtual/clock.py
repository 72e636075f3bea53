"""The virtual clock: W workers train trials whose curves are known, and tell a method when each report is due.

Time passes only in training: a method's own thinking is free, and so are evaluations, checkpoints and resuming.
"""

import heapq
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ray.tune.experiment import Trial

from .lcbench import Curve

Decision = Literal["CONTINUE", "PAUSE", "STOP"]
"""What becomes of a trial after a report, in Ray's words."""


@dataclass(frozen=True)
class Report:
    """A report of a trial: at which step of its method's budget, when (its own training seconds), which score."""

    step: int
    seconds: float
    score: float


@dataclass(eq=False)
class VirtualTrial:
    """What Ray's schedulers look at in a trial, and its reports."""

    trial_id: str
    parameters: Mapping[str, Any]
    reports: list[Report]
    status: str = Trial.PENDING
    is_saving: bool = False
    done: int = 0
    """How many of its reports were made."""


class Method(Protocol):
    """A searcher and a scheduler."""

    def next_trial(self) -> VirtualTrial | None:
        """The trial that a free worker trains: a new one, or one that was paused. None: nothing for now."""
        ...

    def on_report(self, trial: VirtualTrial, report: Report) -> Decision: ...


@dataclass
class History:
    """What a search left: the incumbent's improvements as (seconds, score), and counts."""

    improvements: list[tuple[float, float]] = field(default_factory=list)
    trials: int = 0
    full: int = 0
    """Trials that made their last report."""


def simulate(method: Method, *, workers: int, seconds: float) -> History:
    """Run a method for so many seconds of virtual time. The incumbent is the best score reported, at any budget."""
    history = History()
    events: list[tuple[float, int, VirtualTrial]] = []
    order = itertools.count()
    now = 0.0

    def schedule(trial: VirtualTrial) -> None:
        before = trial.reports[trial.done - 1].seconds if trial.done else 0.0
        heapq.heappush(events, (now + trial.reports[trial.done].seconds - before, next(order), trial))

    while True:
        while len(events) < workers and (started := method.next_trial()) is not None:
            history.trials += started.done == 0
            started.status = Trial.RUNNING
            schedule(started)
        if not events:
            return history
        now, _, trial = heapq.heappop(events)
        if now > seconds:
            return history
        report = trial.reports[trial.done]
        trial.done += 1
        history.full += trial.done == len(trial.reports)
        if not history.improvements or report.score > history.improvements[-1][1]:
            history.improvements.append((now, report.score))
        decision = method.on_report(trial, report)
        if decision == "CONTINUE" and trial.done < len(trial.reports):
            schedule(trial)
        else:
            trial.status = Trial.PAUSED if decision == "PAUSE" else Trial.TERMINATED


def epoch_reports(curve: Curve) -> list[Report]:
    """A report at every epoch; a step is an epoch."""
    epochs = enumerate(zip(curve.seconds, curve.scores, strict=True), start=1)
    return [Report(epoch, float(seconds), float(score)) for epoch, (seconds, score) in epochs]


def rung_reports(curve: Curve, steps: tuple[int, ...], cost: Callable[[Curve], Any], full: float) -> list[Report]:
    """A report at each of the steps, in thousandths of `full` units of `cost` (one value an epoch).

    A trial trains until the budget is used, then to the end of that epoch, and never beyond its last one.
    """
    costs = cost(curve)
    reports = []
    for step in steps:
        epoch = min(int((costs < full * step / 1000 * (1 - 1e-9)).sum()), len(costs) - 1)
        reports.append(Report(step, float(curve.seconds[epoch]), float(curve.scores[epoch])))
    return reports
