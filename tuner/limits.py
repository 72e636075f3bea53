"""What ends a search besides its number of trials: time, device-hours, or little left to gain."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from tuner.study import SweepStudy

SEARCHED_SECONDS = "searched_seconds"
"""The study's attribute that holds how long it has been searched."""

_SAVE_EVERY = 10.0
"""Seconds of the search that a kill may leave uncounted."""


class SearchClock:
    """How long a study has been searched, over all the drivers that went on with it one after another."""

    def __init__(self, study: SweepStudy, *, keeps: bool) -> None:
        """`keeps`: whether this driver writes the time into the study; of several at once only one does."""
        self._study = study.optuna
        self._keeps = keeps
        self._started = time.monotonic()
        self._saved = self._before = self._stored()

    def seconds(self) -> float:
        here = time.monotonic() - self._started
        if not self._keeps:
            return max(here, self._stored())
        total = self._before + here
        if total - self._saved > _SAVE_EVERY:
            self.save()
        return total

    def save(self) -> None:
        """Write the time into the study, as is done every few seconds while it is asked."""
        if self._keeps:
            self._saved = self._before + time.monotonic() - self._started
            self._study.set_user_attr(SEARCHED_SECONDS, round(self._saved, 1))

    def _stored(self) -> float:
        return float(self._study.user_attrs.get(SEARCHED_SECONDS, 0.0))


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Asked whenever a trial would start or go on. None of them: no limit."""

    clock: SearchClock | None = None

    minutes: float | None = None
    """Wall-clock time of the search, by `clock`."""

    device_hours: float | None = None
    """Training and evaluation time of all trials, times the devices of each."""

    devices_per_trial: float = 1
    """GPUs of a trial, or its CPU cores where it has no GPU."""

    little_to_gain: Callable[[SweepStudy], bool] | None = None
    """Whether the study says that more trials hardly pay."""

    def reached(self, study: SweepStudy) -> str | None:
        """Which limit is reached, for people; None while there is none."""
        searched = self.clock.seconds() if self.clock else 0.0
        if self.minutes is not None and searched >= 60 * self.minutes:
            return f"{self.minutes:g} minutes are over (search.minutes)"
        if self.device_hours is not None and self._device_hours(study) >= self.device_hours:
            return f"{self.device_hours:g} device-hours are used (search.device_hours)"
        if self.little_to_gain is not None and self.little_to_gain(study):
            return "more trials are expected to gain little (search.terminate)"
        return None

    def _device_hours(self, study: SweepStudy) -> float:
        last = (trial.user_attrs["evaluations"][-1] for trial in study.trials() if "evaluations" in trial.user_attrs)
        seconds = sum(evaluation["training_seconds"] + evaluation["evaluation_seconds"] for evaluation in last)
        return seconds / 3600 * self.devices_per_trial
