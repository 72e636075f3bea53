"""What a search writes down while it runs, for its times to be compared: one JSON object a line, with the time of day.

    {"time": 1764.1, "event": "ray up"}
    {"time": 1766.0, "event": "begins", "trial": "0a1b", "pid": 17}
    {"time": 1768.9, "event": "first step", "trial": "0a1b", "pid": 17}
    {"time": 1784.3, "event": "report", "trial": "0a1b", "pid": 17, "dice": 0.71, "seconds": {"data": 0.9, ...}}

A trial's last line is its end: it has nothing left to do then, and what Ray Tune does next is between trials.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item")


class EventLog:
    """Appends events to a file; many processes may share it, since a short line is written at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, event: str, **facts: Any) -> None:
        line = json.dumps({"time": time.time(), "event": event, **facts}) + "\n"
        with self._path.open("a") as file:
            file.write(line)


class TrialLog:
    """The events of one trial, and the seconds that it has spent so far, by what they were spent on."""

    def __init__(self, path: Path, trial: str) -> None:
        self._log = EventLog(path)
        self._facts = {"trial": trial, "pid": os.getpid()}
        self._seconds: dict[str, float] = {}
        self._log.write("begins", **self._facts)

    @contextmanager
    def spending(self, what: str) -> Iterator[None]:
        """Count the time of the block as spent on `what`: data, training, evaluation or checkpoint."""
        if what == "training" and what not in self._seconds:
            self._log.write("first step", **self._facts)
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[what] = self._seconds.get(what, 0.0) + time.perf_counter() - started

    def loading(self, batches: Iterable[Item]) -> Iterator[Item]:
        """`batches`, the wait for each counted as spent on data."""
        iterator = iter(batches)
        while True:
            with self.spending("data"):
                try:
                    batch = next(iterator)
                except StopIteration:
                    return
            yield batch

    def report(self, dice: float) -> None:
        """To be called when all is done that comes before a report."""
        self._log.write("report", **self._facts, dice=dice, seconds=self._seconds)

    def saved(self) -> None:
        """To be called where a checkpoint is written after the report."""
        self._log.write("saved", **self._facts, seconds=self._seconds)


def read_events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
