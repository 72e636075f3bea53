"""What the searches that were measured say of those that were not: trials' times on other groups of devices, and the
whole search by the discrete-event model.

A trial on g devices of which none measured it: a step takes what it took on one device for the share of the batch that
each of the g has, a part that does not shrink with the share (both from one and h measured devices), and an exchange
that moves (g - 1) / g as much as a ring does at most (Patarasuk and Yuan 2009), so (g - 1) / g : (h - 1) / h of what
was measured. That network and memory are as fast between more devices as between those h favours data parallelism.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from statistics import median
from typing import Any

from tuner.cluster_model import Modelled, Overheads, TrialTimes, fit_overheads, list_schedule, simulate
from tuner.parallelism import Search, TrialFound, Way
from tuner.rungs import SuccessiveHalving

ShareOfBatch = Callable[[Mapping[str, Any], int], tuple[float, float]]
"""From a trial's parameters and a number of devices: the share of one device's patches a step that each device has, and
the steps as a share of one device's."""


@dataclass(frozen=True, kw_only=True)
class Timings:
    """The trials' times by the searches without early stopping, which saw every rung."""

    searches: Mapping[Way, tuple[Search, ...]]
    """By way, its repetitions."""

    share: ShareOfBatch

    @classmethod
    def of(cls, searches: Sequence[Search], share: ShareOfBatch) -> "Timings":
        ordered = sorted(searches, key=lambda search: (search.way, search.repetition))
        return cls(
            searches={way: tuple(found) for way, found in groupby(ordered, key=lambda one: one.way)}, share=share
        )

    @cached_property
    def overheads(self) -> Overheads:
        """Of experiment parallelism without early stopping."""
        return fit_overheads(
            [
                search.observed
                for way, found in self.searches.items()
                for search in found
                if way.group == 1 and not way.early_stopping
            ]
        )

    def ideal(self, group: int) -> dict[int, TrialTimes]:
        """By number, as if a group were one device that is so many times as fast."""
        alone = self._measured(Way(devices=1, group=1, early_stopping=False))
        return {
            number: TrialTimes(seconds=tuple(one / group for one in times.seconds), scores=times.scores)
            for number, times in alone.items()
        }

    def on(self, way: Way) -> dict[int, TrialTimes]:
        """By number, what the trials take on one of the way's groups: as it was measured there, or on as many devices
        as were at hand for groups of this size, or derived."""
        known = [other for other in self.searches if other.group == way.group and not other.early_stopping]
        if known:
            return self._measured(min(known, key=lambda other: (abs(other.devices - way.devices), -other.devices)))
        return self._derived(way.group)

    def _measured(self, way: Way) -> dict[int, TrialTimes]:
        found: dict[int, list[TrialFound]] = {}
        for search in self.searches[way]:
            for trial in search.trials:
                found.setdefault(trial.number, []).append(trial)
        return {
            number: TrialTimes(
                seconds=tuple(median(rung) for rung in zip(*(one.seconds for one in ones), strict=False)),
                scores=ones[0].scores,
            )
            for number, ones in sorted(found.items())
        }

    def _derived(self, group: int) -> dict[int, TrialTimes]:
        plain = [way for way in self.searches if not way.early_stopping]
        alone = max(way for way in plain if way.group == 1)
        together = max((way for way in plain if way.group > 1), key=lambda way: way.group, default=None)
        pairs = {trial.number: trial for trial in self.searches[together][0].trials} if together else {}
        times = self._measured(alone)
        found = {}
        for trial in self.searches[alone][0].trials:
            pair = pairs.get(trial.number)
            # One rung like another: what a trial takes longer or shorter than on one device.
            factor = self._seconds(trial, pair, together.group if together else 1, group) / sum(trial.seconds)
            one = times[trial.number]
            found[trial.number] = TrialTimes(seconds=tuple(factor * rung for rung in one.seconds), scores=one.scores)
        return dict(sorted(found.items()))

    def _seconds(self, alone: TrialFound, pair: TrialFound | None, measured: int, group: int) -> float:
        """What a trial takes on `group` devices, from what it took on one and on `measured`."""
        patches, steps = self.share(alone.parameters, group)
        evaluation = alone.evaluation / group
        if pair is None:
            return alone.training * patches * steps + evaluation
        known_patches, known_steps = self.share(alone.parameters, measured)
        # All steps together, as many as on one device, take `fixed` + patches x `rate`.
        fixed, rate = (pair.training - pair.exchange) / known_steps, 0.0
        if known_patches < 1:
            rate = max(0.0, min(alone.training, (alone.training - fixed) / (1 - known_patches)))
            fixed = alone.training - rate
        ring = ((group - 1) / group) / ((measured - 1) / measured)
        exchange = pair.exchange / known_steps * ring
        return (fixed + rate * patches + exchange) * steps + evaluation


def model(timings: Timings, way: Way, *, rungs: SuccessiveHalving) -> tuple[Modelled, float]:
    """The search as the model has it, and its bound: seconds without any overhead on ideal groups."""
    rule = rungs if way.early_stopping else None
    ideal = timings.ideal(way.group)
    found = simulate(list(timings.on(way).values()), slots=way.slots, overheads=timings.overheads, rungs=rule)
    without = simulate(list(ideal.values()), slots=way.slots, overheads=Overheads(), rungs=rule)
    return found, without.seconds


def bound_of(timings: Timings, search: Search) -> float:
    """Seconds that what a search trained would have taken without overhead on ideal groups."""
    ideal = timings.ideal(search.way.group)
    durations = [
        sum(ideal[trial.number].seconds[: len(trial.steps)]) if trial.number in ideal else sum(trial.seconds)
        for trial in search.trials
    ]
    return list_schedule(durations, search.way.slots)
