"""What a driver keeps of each trial for people to look at beside the study: its log and its TensorBoard events.

    logs/sweep_0012.txt       what the trial's process wrote, see tuner.trial_log, and how the trial ended
    tensorboard/sweep_0012/   see tuner.event_files

Nothing of ours reads them but `voxtune logs`. Where they can't be written, training goes on without them.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from trainables.protocol import Evaluation
from tuner.directory import SweepDirectory
from tuner.event_files import EventFile, Status
from tuner.study import StopReason
from tuner.trial_log import moment

log = logging.getLogger("voxtune")


class TrialRecord:
    """Of the trials of one study, as one driver sees them."""

    def __init__(self, directory: SweepDirectory, study: str) -> None:
        """`study`: `sweep`, `confirm` or `folds`."""
        self._directory = directory
        self._study = study
        self._parameters: dict[int, Mapping[str, Any]] = {}
        self._events: dict[int, EventFile] = {}
        self._refused = False

    def of_study(self, study: str) -> "TrialRecord":
        """The same for another study of the sweep."""
        return TrialRecord(self._directory, study)

    def begun(self, number: int, parameters: Mapping[str, Any]) -> None:
        """A trial was handed to a process, which has not reported yet."""
        self._parameters[number] = parameters
        with self._unless_refused():
            self._append(number, f"{moment()} trial {number}: handed to a slot; its lines come with its evaluations\n")

    def reported(self, number: int, step: int, evaluation: Evaluation, written: str) -> None:
        """A trial reached `step` thousandths of the full budget; its process wrote `written` on the way."""
        with self._unless_refused():
            self._append(number, written)
            if number not in self._events:
                folder = self._directory.trial_events(self._study, number)
                self._events[number] = EventFile(folder, self._parameters.get(number, {}))
            self._events[number].add(step, evaluation)

    def ended(self, number: int, reason: StopReason, *, error: str | None = None, written: str = "") -> None:
        """A trial ended; `error`: what `written`, the last of its process, does not say."""
        status: Status = "failure" if reason in ("error", "timed out", "out of memory") else "success"
        self._leave(number, f"{reason}: {error}" if error else reason, written, status=status)

    def left(self, number: int, why: str, written: str = "") -> None:
        """A trial did not end, but its process no longer runs it; `why` is a line for people."""
        self._leave(number, why, written, status=None)

    def _leave(self, number: int, why: str, written: str, *, status: Status | None) -> None:
        self._parameters.pop(number, None)
        with self._unless_refused():
            events = self._events.pop(number, None)
            try:
                self._append(number, f"{written}{moment()} trial {number}: {why}\n")
            finally:
                if events:
                    events.close(status)

    def _append(self, number: int, text: str) -> None:
        file = self._directory.trial_log(self._study, number)
        file.parent.mkdir(exist_ok=True)
        with file.open("a", encoding="utf-8", errors="replace") as opened:
            opened.write(text)

    @contextmanager
    def _unless_refused(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a full disk, or what a trainable reports as a number and is none
            if not self._refused:
                log.warning(
                    "logs and TensorBoard events of trials can't be written: %s: %s", type(error).__name__, error
                )
            self._refused = True
