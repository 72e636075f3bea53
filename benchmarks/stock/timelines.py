"""When the trials of a search began, trained and ended, and what follows from that; the same rules for all searches."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Any

from tuner.api import Results
from tuner.utilisation import stints

KINDS = ("training", "data", "evaluation", "checkpoint")


@dataclass(frozen=True, kw_only=True)
class TrialTimes:
    """One trial. All times are Unix seconds."""

    slot: int
    began: float
    first_step: float
    """When its first training step began."""

    ended: float
    """When it had nothing left to do."""

    seconds: Mapping[str, float]
    """After its first step, by KINDS: `training` steps, waiting for their `data`, `evaluation`, `checkpoint`."""

    dice: Sequence[tuple[float, float]]
    """When it was evaluated, and its Dice then."""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """One search."""

    launched: float
    """When its command was given, in Unix seconds."""

    ray_seconds: float
    """How long Ray took to start."""

    slots: int
    trials: Sequence[TrialTimes]
    """In the order in which they began."""

    @property
    def ended(self) -> float:
        return max(trial.ended for trial in self.trials)

    @property
    def seconds(self) -> float:
        """From the command to the last trial's end, Ray's start left out."""
        return self.ended - self.launched - self.ray_seconds

    @property
    def best(self) -> float:
        return max(dice for trial in self.trials for _, dice in trial.dice)

    def turnarounds(self) -> list[float]:
        """From each trial's end to the first training step of the next one in its slot, in seconds."""
        return [
            after.first_step - before.ended for slot in self._by_slot().values() for before, after in pairwise(slot)
        ]

    def handed_out(self) -> float:
        """When the slot of the trial that began last had become free: from then on there was no other to hand out."""
        last = self.trials[-1]
        before = [trial.ended for trial in self._by_slot()[last.slot] if trial is not last]
        return max(before, default=last.began)

    def shares(self) -> dict[str, float]:
        """Of the slots' time until then, since the first trial began: the share of each of KINDS.

        Of a trial that went on after that its share of the time until then is counted.
        """
        first, last = self.trials[0].began, self.handed_out()
        total = self.slots * (last - first)
        spent = dict.fromkeys(KINDS, 0.0)
        for trial in self.trials:
            inside = max(0.0, min(trial.ended, last) - trial.first_step) / (trial.ended - trial.first_step)
            for kind in KINDS:
                spent[kind] += trial.seconds.get(kind, 0.0) * inside
        return {kind: seconds / total if total else 0.0 for kind, seconds in spent.items()}

    def seconds_to(self, dice: float) -> float | None:
        """From the command until a trial first had that Dice, Ray's start left out; None where none had."""
        reached = [at for trial in self.trials for at, found in trial.dice if found >= dice]
        return min(reached) - self.launched - self.ray_seconds if reached else None

    def summary(self, *, dice: float) -> dict[str, float]:
        """The figures that are compared."""
        shares = self.shares()
        reached = self.seconds_to(dice)
        turnarounds = self.turnarounds()
        training = shares["training"] + shares["data"]
        return {
            "turnaround": median(turnarounds) if turnarounds else 0.0,
            "longest turnaround": max(turnarounds, default=0.0),
            "training and evaluation": training + shares["evaluation"],
            "training": training,
            "waiting for batches": shares["data"],
            "evaluation": shares["evaluation"],
            "checkpoint": shares["checkpoint"],
            "start and waiting": 1 - training - shares["evaluation"] - shares["checkpoint"],
            "tail": self.ended - self.handed_out(),
            "before the first trial": self.trials[0].began - self.launched - self.ray_seconds,
            "reached": float(reached is not None),
            "seconds to dice": self.seconds if reached is None else reached,
            "seconds": self.seconds,
            "ray": self.ray_seconds,
            "best": self.best,
        }

    def _by_slot(self) -> dict[int, list[TrialTimes]]:
        slots = defaultdict(list)
        for trial in self.trials:
            slots[trial.slot].append(trial)
        return slots


def stock_timeline(events: Sequence[Mapping[str, Any]], *, launched: float, slots: int) -> Timeline:
    """From the log of a stock program. Raises ValueError for a trial that never reported."""
    by_trial: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for event in events:
        if "trial" in event:
            by_trial[event["trial"]].append(event)
    trials = []
    for trial, its in by_trial.items():
        reports = [event for event in its if event["event"] == "report"]
        first_step = next((event["time"] for event in its if event["event"] == "first step"), None)
        if not reports or first_step is None:
            raise ValueError(f"trial {trial} never reported")
        trials.append(
            TrialTimes(
                slot=0,
                began=its[0]["time"],
                first_step=first_step,
                ended=its[-1]["time"],
                seconds=its[-1]["seconds"],
                dice=[(event["time"], event["dice"]) for event in reports],
            )
        )
    return Timeline(
        launched=launched, ray_seconds=_ray_seconds(events), slots=slots, trials=in_slots(trials, slots=slots)
    )


def ours_timeline(results: Results, events: Sequence[Mapping[str, Any]], *, launched: float, slots: int) -> Timeline:
    """From a sweep's study.

    The study holds no time of day of an evaluation. It is taken as the trial's end less what it trained and evaluated
    after it: somewhat late, since it waited and wrote checkpoints too.
    """
    by_number: Mapping[Any, Any] = (
        stints(results.begun).dropna(subset="first_step").set_index("number").to_dict("index")
    )
    trials = []
    for trial in results.begun:
        if trial.number not in by_number or not trial.user_attrs.get("evaluations"):
            continue
        stint = by_number[trial.number]
        evaluations = trial.user_attrs["evaluations"]
        at_work = [evaluation["training_seconds"] + evaluation["evaluation_seconds"] for evaluation in evaluations]
        data = trial.user_attrs.get("data_seconds", 0.0)
        trials.append(
            TrialTimes(
                slot=int(stint["slot"]),
                began=stint["began"],
                first_step=stint["first_step"],
                ended=stint["ended"],
                seconds={
                    "training": evaluations[-1]["training_seconds"] - data,
                    "data": data,
                    "evaluation": evaluations[-1]["evaluation_seconds"],
                    "checkpoint": stint["checkpoint"],
                },
                dice=[
                    (stint["ended"] - (at_work[-1] - done), evaluation["score"])
                    for done, evaluation in zip(at_work, evaluations, strict=True)
                ],
            )
        )
    trials.sort(key=lambda trial: trial.began)
    return Timeline(launched=launched, ray_seconds=_ray_seconds(events), slots=slots, trials=trials)


def in_slots(trials: Iterable[TrialTimes], *, slots: int) -> list[TrialTimes]:
    """The trials in the order in which they began, each in the slot that has been free for longest.

    Raises ValueError where more of them ran at once than there are slots.
    """
    free_since = [float("-inf")] * slots
    placed = []
    for trial in sorted(trials, key=lambda trial: trial.began):
        slot = free_since.index(min(free_since))
        if free_since[slot] > trial.began:
            raise ValueError(f"more than {slots} trials ran at once")
        free_since[slot] = trial.ended
        placed.append(replace(trial, slot=slot))
    return placed


def _ray_seconds(events: Iterable[Mapping[str, Any]]) -> float:
    return next(float(event["seconds"]) for event in events if event["event"] == "ray up")
