"""What the study of parallelism found: a row for each way that devices can be used, measured or modelled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median

import pandas as pd

from tuner.parallelism import Search, Way
from tuner.parallelism_model import ShareOfBatch, Timings, bound_of, model
from tuner.rungs import SuccessiveHalving


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One way. Seconds are from the first trial's begin to the last one's end; speed-ups are over one device."""

    way: Way
    measured: bool
    seconds: float
    """The repetitions' median, or the model's."""

    speed_up: float
    speed_up_low: float
    speed_up_high: float
    """The lowest and highest of the repetitions; of the model its one."""

    bound_speed_up: float
    """Of a list schedule without overhead on groups that lose nothing: no search in this order is faster."""

    modelled_seconds: float
    utilisation: float | None
    """Share of the devices' time in training and evaluation; None of groups that are modelled."""

    shares: Mapping[str, float] | None
    """Where the devices' time went, see Search.shares; None of what is modelled."""

    start_seconds: float | None
    best_dice: float | None
    mean_dice: float | None

    @property
    def efficiency(self) -> float:
        return self.speed_up / self.way.devices

    @property
    def model_error(self) -> float | None:
        """Of the model's seconds, as a share of the measured ones."""
        return self.modelled_seconds / self.seconds - 1 if self.measured else None

    @property
    def device_hours(self) -> float:
        return self.way.devices * self.seconds / 3600


def outcomes(
    searches: Sequence[Search], ways: Sequence[Way], *, share: ShareOfBatch, rungs: SuccessiveHalving
) -> list[Outcome]:
    """A row for each of `ways`: measured where there are searches of it, modelled elsewhere.

    One device must be among the searches, with and without early stopping.
    """
    timings = Timings.of(searches, share)
    return [
        _measured(timings, way, rungs) if way in timings.searches else _modelled(timings, way, rungs) for way in ways
    ]


def _alone(timings: Timings, way: Way) -> list[float]:
    """The seconds on one device, by repetition."""
    one = Way(devices=1, group=1, early_stopping=way.early_stopping)
    return [search.seconds for search in timings.searches[one]]


def _measured(timings: Timings, way: Way, rungs: SuccessiveHalving) -> Outcome:
    found = timings.searches[way]
    alone = _alone(timings, way)
    speed_ups = [one / search.seconds for one, search in zip(alone, found, strict=False)]
    modelled, _ = model(timings, way, rungs=rungs)
    return Outcome(
        way=way,
        measured=True,
        seconds=median(search.seconds for search in found),
        speed_up=median(speed_ups),
        speed_up_low=min(speed_ups),
        speed_up_high=max(speed_ups),
        bound_speed_up=median(one / bound_of(timings, search) for one, search in zip(alone, found, strict=False)),
        modelled_seconds=modelled.seconds,
        utilisation=mean(search.utilisation for search in found),
        shares={name: mean(search.shares[name] for search in found) for name in found[0].shares},
        start_seconds=median(search.start_seconds for search in found),
        best_dice=mean(search.best_dice for search in found),
        mean_dice=mean(search.mean_dice for search in found),
    )


def _modelled(timings: Timings, way: Way, rungs: SuccessiveHalving) -> Outcome:
    modelled, bound = model(timings, way, rungs=rungs)
    alone = median(_alone(timings, way))
    speed_up = alone / modelled.seconds
    return Outcome(
        way=way,
        measured=False,
        seconds=modelled.seconds,
        speed_up=speed_up,
        speed_up_low=speed_up,
        speed_up_high=speed_up,
        bound_speed_up=alone / bound,
        modelled_seconds=modelled.seconds,
        utilisation=modelled.busy if way.group == 1 else None,
        shares=None,
        start_seconds=None,
        best_dice=None,
        mean_dice=None,
    )


def table_of(found: Sequence[Outcome]) -> pd.DataFrame:
    """A row for each way, by early stopping, devices and group."""
    rows = [
        {
            "devices": one.way.devices,
            "devices_per_trial": one.way.group,
            "early_stopping": one.way.early_stopping,
            "measured": one.measured,
            "seconds": one.seconds,
            "speed_up": one.speed_up,
            "speed_up_low": one.speed_up_low,
            "speed_up_high": one.speed_up_high,
            "bound_speed_up": one.bound_speed_up,
            "efficiency": one.efficiency,
            "utilisation": one.utilisation,
            "device_hours": one.device_hours,
            "start_seconds": one.start_seconds,
            **{f"share_{name}": share for name, share in (one.shares or {}).items()},
            "best_dice": one.best_dice,
            "mean_dice": one.mean_dice,
            "modelled_seconds": one.modelled_seconds,
            "model_error": one.model_error,
        }
        for one in sorted(found, key=lambda one: (one.way.early_stopping, one.way.devices, one.way.group))
    ]
    return pd.DataFrame(rows)


def answer(found: Sequence[Outcome], *, trials: int, early_stopping: bool) -> str:
    """One paragraph in plain words, on the largest number of devices."""
    ours = [one for one in found if one.way.early_stopping == early_stopping]
    devices = max(one.way.devices for one in ours)
    at_most = {one.way.group: one for one in ours if one.way.devices == devices}
    best = max(at_most.values(), key=lambda one: one.speed_up)
    alone, together = at_most[1], at_most[max(at_most)]  # groups of all may be too large for a batch
    if devices == 1:
        return f"One device takes {best.seconds:.0f} s for {trials} trials; more were not asked about."
    text = f"With {devices} devices and {trials} trials {_advice(best)}: {_times(best)} as fast as one device"
    others = [one for one in (alone, together) if one is not best]
    text += "".join(f", against {one.speed_up:.1f}{_kind(one, best)} {_manner(one)}" for one in others) + "."
    text += f" {best.bound_speed_up:.1f} would be possible without any overhead."
    return text if early_stopping else text + _dice_of_both(ours)


def _dice_of_both(found: Sequence[Outcome]) -> str:
    """Whether trials learn as much together, on the largest groups that were measured; nothing where none was."""
    together = max((one for one in found if one.measured and one.way.group > 1), key=lambda one: one.way, default=None)
    if together is None:
        return ""
    alone = next(one for one in found if one.way.devices == together.way.devices and one.way.group == 1)
    return (
        f" Mean Dice of the trials trained to the end: {alone.mean_dice:.3f} on one device each, "
        f"{together.mean_dice:.3f} on {together.way.group} together."
    )


def _advice(best: Outcome) -> str:
    group = best.way.group
    if group == 1:
        return "give each trial one device"
    return "let all devices train one trial after another" if group == best.way.devices else f"give each trial {group}"


def _manner(one: Outcome) -> str:
    if one.way.group == one.way.devices:
        return "when all train one trial after another"
    return f"when each trial has {'one device' if one.way.group == 1 else one.way.group}"


def _times(one: Outcome) -> str:
    return f"{one.speed_up:.1f} times" + ("" if one.measured else " (modelled)")


def _kind(one: Outcome, best: Outcome) -> str:
    return "" if one.measured == best.measured else " (measured)" if one.measured else " (modelled)"
