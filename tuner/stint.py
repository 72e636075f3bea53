"""A stint: one stretch of a trial on a slot, and what its time went into.

A slot is one warm process that runs a trial after another. A trial has one stint, or several if it was interrupted.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

Phase = Literal["start", "advance", "checkpoint"]
"""Building the run and loading its state; training and evaluating; writing what it takes to go on."""


class StintClock:
    """Measures the stint that begins now, in the slot's process."""

    def __init__(self) -> None:
        self._began = time.time()
        self._first_step: float | None = None
        self._origin = time.perf_counter()
        self._seconds: dict[Phase, float] = {"start": 0.0, "advance": 0.0, "checkpoint": 0.0}

    @contextmanager
    def measured(self, phase: Phase) -> Iterator[None]:
        """Count the block's time as the phase's, however it ends."""
        started = time.perf_counter()
        if phase == "advance" and self._first_step is None:
            self._first_step = time.time()
        try:
            yield
        finally:
            self._seconds[phase] += time.perf_counter() - started

    def so_far(self) -> dict[str, Any]:
        """The stint as it stands in the study.

        `node` and `pid` say which slot it was; `began`, `first_step` (None before it) and `ended` are the node's clock
        in seconds of Unix time; `ended` is now. The other amounts are seconds; the rest of the stint it waited for the
        driver's word.
        """
        lasted = time.perf_counter() - self._origin
        return {
            "node": socket.gethostname(),
            "pid": os.getpid(),
            "began": self._began,
            "first_step": self._first_step,
            "ended": self._began + lasted,
        } | self._seconds
