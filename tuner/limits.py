"""What ends a search besides its number of trials: time, device-hours, or little left to gain."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tuner.study import SweepStudy


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Asked whenever a trial would start or go on. None of them: no limit."""

    minutes: float | None = None
    """Wall-clock time of this driver's search; one that is resumed gets it anew."""

    device_hours: float | None = None
    """Training and evaluation time of all trials, times the devices of each."""

    devices_per_trial: float = 1
    """GPUs of a trial, or its CPU cores where it has no GPU."""

    little_to_gain: Callable[[SweepStudy], bool] | None = None
    """Whether the study says that more trials hardly pay."""

    _started: float = field(default_factory=time.monotonic)

    def reached(self, study: SweepStudy) -> str | None:
        """Which limit is reached, for people; None while there is none."""
        if self.minutes is not None and time.monotonic() - self._started >= 60 * self.minutes:
            return f"{self.minutes:g} minutes are over"
        if self.device_hours is not None and self._device_hours(study) >= self.device_hours:
            return f"{self.device_hours:g} device-hours are used"
        if self.little_to_gain is not None and self.little_to_gain(study):
            return "more trials are expected to gain little"
        return None

    def _device_hours(self, study: SweepStudy) -> float:
        last = (trial.user_attrs["evaluations"][-1] for trial in study.trials() if "evaluations" in trial.user_attrs)
        seconds = sum(evaluation["training_seconds"] + evaluation["evaluation_seconds"] for evaluation in last)
        return seconds / 3600 * self.devices_per_trial
