"""What a sweep took: its devices' hours, and from its first trial's start to its last one's end.

A device is held while a slot lives, busy or not, so hours are the slots' (`tuner.utilisation`), with the time in which
the last ones ran on alone: what one pays for. Without GPUs a device is a core.
"""

from dataclasses import dataclass
from datetime import datetime

from tuner.config import SweepConfig
from tuner.results import Results
from tuner.utilisation import utilisation


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Of a sweep and its confirm stage."""

    started: datetime
    ended: datetime | None
    """When the last trial so far ended; None before the first did."""

    slots: int
    """Processes that ran trials of the search."""

    per_trial: float | None
    """Devices of each; None where it is not known, `gpus_per_trial: auto` of a sweep whose driver did not say."""

    device: str
    """`GPU` or `core`."""

    slot_hours: float

    @property
    def seconds(self) -> float | None:
        """From the first trial's start to the last one's end; pauses of a resumed sweep count."""
        return None if self.ended is None else (self.ended - self.started).total_seconds()

    @property
    def device_hours(self) -> float | None:
        return None if self.per_trial is None else self.slot_hours * self.per_trial

    @property
    def amount(self) -> str:
        """`3.2 GPU-hours`."""
        hours = self.device_hours
        return f"{self.slot_hours:.2g} slot-hours" if hours is None else f"{told_hours(hours)} {self.device}-hours"


def spent(config: SweepConfig, results: Results) -> Spent | None:
    """None before the first trial has reported."""
    stages = (results.sweep_trials, results.confirm_trials)
    used = [use for stage in stages if (use := utilisation(stage))]
    tables = [table for table in (results.trials, results.repeats) if len(table)]
    if not used or not tables:
        return None
    device, per_trial = _devices(config, results)
    ended = [table["ended"].max() for table in tables if table["ended"].notna().any()]
    return Spent(
        started=min(table["started"].min() for table in tables).to_pydatetime(),
        ended=max(ended).to_pydatetime() if ended else None,
        slots=used[0].slots,
        per_trial=per_trial,
        device=device,
        slot_hours=sum(use.seconds + use.tail_seconds for use in used) / 3600,
    )


def told_hours(hours: float) -> str:
    """Three digits, as many as one may read off a bill."""
    return f"{hours:.3g}" if hours < 1000 else f"{hours:.0f}"


def _devices(config: SweepConfig, results: Results) -> tuple[str, float | None]:
    """What a device is, and how many a trial was given."""
    for device, number in results.devices_per_trial.items():
        return device, number
    size = config.resources
    if size.gpus_per_trial == "auto":
        return "GPU", None
    if size.gpus_per_trial:
        return "GPU", size.gpus_per_trial * size.workers_per_trial
    return "core", size.cpus_per_trial * size.workers_per_trial
