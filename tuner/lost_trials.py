"""What becomes of a trial whose process ended before it could report how: killed, cut off, or ended for its silence."""

import logging
from pathlib import Path
from typing import Any

from ray import cloudpickle, tune
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError

from tuner.assignment import ASSIGNMENT
from tuner.pulse import PulseTaker
from tuner.silence import Beat
from tuner.study import LOST, TIMED_OUT
from tuner.work import Work

log = logging.getLogger("voxtune")

MOST_LOST = 3
"""A trial whose process is lost so often, be it by its own fault or its machines', has failed."""

MOST_TIMED_OUT = 2
"""One that falls silent so often has failed: a hang may be its machine's fault, but each costs a whole timeout."""


class LostTrials(tune.Callback):
    """Takes up again, or records, trials whose process ended before they could report how they failed."""

    def __init__(self, work: Work, pulses: PulseTaker | None) -> None:
        self._work = work
        self._pulses = pulses

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self._pulses:
            self._pulses.listen()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """What is recorded is forgotten here: Tune would keep each trial's last log and picture, and write all of them
        to its own files again and again."""
        result.pop("report", None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        number = trial.config[ASSIGNMENT].number
        if number not in self._work.study.asked or not self._work.study.is_ours(number):
            return
        study, record = self._work.study, self._work.record
        error = _error_of(trial)
        what = f"the trial's process was lost: {error}"
        if isinstance(error, OutOfMemoryError):  # Ray ends a process that takes the last of its node's memory
            study.finish(number, "out of memory", error=what)
            record.ended(number, "out of memory", error=what)
        elif self._pulses and (beat := self._pulses.silent(getattr(error, "actor_id", None))):
            self._timed_out(number, beat)
        elif isinstance(error, RayActorError) and study.times(LOST, number) + 1 < MOST_LOST:
            log.warning("trial %d goes on in another process; its own was lost: %s", number, error)
            study.lose(number)
            record.left(number, f"goes on in another process: {what}")
        else:
            study.finish(number, "error", error=what)
            record.ended(number, "error", error=what)

    def _timed_out(self, number: int, beat: Beat) -> None:
        """Take up again, or record, a trial whose process was ended since it was silent."""
        assert self._pulses
        study, record = self._work.study, self._work.record
        process = f"process {beat.process.pid} on {beat.process.host}"
        what = f"no sign of life for {self._pulses.minutes:g} minutes (resources.trial_timeout); {process} was ended"
        if study.times(TIMED_OUT, number) + 1 < MOST_TIMED_OUT:
            log.warning("trial %d goes on in another process: %s", number, what)
            study.lose(number, timed_out=True)
            record.left(number, f"goes on in another process: {what}", beat.stands)
        else:
            study.finish(number, "timed out", error=what)
            record.ended(number, "timed out", error=what, written=beat.stands)


def _error_of(trial: Any) -> Exception | None:
    """What Ray said of a trial's process. `get_pickled_error` looks where Tune has not brought it by then."""
    file = trial.pickled_error_file
    if file is None or not Path(file).is_file():
        return None
    with Path(file).open("rb") as content:
        error: Exception = cloudpickle.load(content)
    # A process that found another worker of its trial gone ended by that error.
    return error.cause if isinstance(error, RayTaskError) and isinstance(error.cause, RayActorError) else error
