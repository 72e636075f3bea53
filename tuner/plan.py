"""How long a sweep takes before it is launched, what it occupies and what that costs, on any number of devices.

What trials take is known (`tuner.trial_costs`); the search is played with made-up scores, as for `voxtune new`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import mean, median

import numpy as np
from rich.table import Table

from tuner.config import SweepConfig
from tuner.durations import about
from tuner.errors import SweepConfigError
from tuner.expectation import LIKELY, SweepShape, TrialCost, plays
from tuner.rungs import rung_steps


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A sweep on some devices."""

    devices: int
    slots: int
    """Trials at once."""

    seconds: float
    """The search, Ray's start included: half of the sweeps take no longer."""

    likely_seconds: float
    """Four of five take no longer."""

    confirm_seconds: float
    busy: float
    """Share of the devices' time of the search in training and evaluation."""

    @property
    def device_hours(self) -> float:
        """That the devices are taken, idle ones included, in the middle case."""
        return self.devices * (self.seconds + self.confirm_seconds) / 3600


def expected(config: SweepConfig, costs: Sequence[TrialCost], devices: int) -> Expected:
    """The sweep on so many devices: GPUs, or on CPUs the cores of one trial.

    Args:
        costs: of the first trial, then of others, for the full budget as one unit.

    Raises SweepConfigError where they hold no trial, or where the number of trials is open.
    """
    search, size = config.search, config.resources
    if search.trials is None:
        raise SweepConfigError(
            f"{config.source}: search.trials: is null, so that the search takes what its other limits say; a plan "
            "needs a number of trials"
        )
    gpus = size.gpus_per_trial
    each = size.workers_per_trial * (float(gpus) if gpus not in ("auto", 0) else 1.0)
    slots = int(devices / each)
    if not slots:
        raise SweepConfigError(f"--devices: a trial takes {each:g}, got {devices}")
    slots = min(slots, size.trials_at_once or slots)
    shape = SweepShape(
        trials=search.trials,
        slots=slots,
        first_share=config.budget.first_share,
        reduction=config.budget.reduction,
        stop_early=search.stop_early,
    )
    played = plays(shape, costs, 1.0)
    seconds = [play.seconds for play in played]
    most = 60 * search.minutes if search.minutes else np.inf
    return Expected(
        devices=devices,
        slots=slots,
        seconds=min(most, median(seconds)),
        likely_seconds=min(most, float(np.quantile(seconds, LIKELY))),
        confirm_seconds=_confirm_seconds(config, costs, slots),
        busy=mean(play.busy for play in played),
    )


def _confirm_seconds(config: SweepConfig, costs: Sequence[TrialCost], slots: int) -> float:
    rungs = len(rung_steps(config.budget.first_share, config.budget.reduction))
    cost = mean(cost.seconds_per_unit + rungs * cost.evaluation_seconds for cost in costs)
    return ceil(config.confirm.top * config.confirm.seeds / slots) * cost


def plan_table(rows: Sequence[Expected], *, price: float | None) -> Table:
    """For people. `price` is of a device's hour, in whatever currency."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    names = ["devices", "at once", "search", "4 of 5 within", "confirm", "device-hours", "busy"]
    for name in [*names, *(["cost"] if price is not None else [])]:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        cells = [
            str(row.devices),
            str(row.slots),
            about(row.seconds),
            about(row.likely_seconds),
            about(row.confirm_seconds) if row.confirm_seconds else "",
            f"{row.device_hours:.3g}",
            f"{row.busy:.0%}",
        ]
        table.add_row(*cells, *([f"{price * row.device_hours:.2f}"] if price is not None else []))
    return table
