"""What a trial's process writes: kept in Ray's log of its slot, and line by line in a file of the trial's own.

The lines travel to the driver with the trial's reports, so a node needs no disk that others see. What a process wrote
after its last report, before it was killed, is in Ray's log alone.
"""

import sys
import threading
import time
from contextlib import suppress
from typing import Any

MOST = 100_000
"""Characters that one report carries; of more than that the last are kept."""


def moment() -> str:
    """Now: `2026-03-01 12:00:00+0100`. With its zone, since a log holds lines of several hosts and containers."""
    return time.strftime("%Y-%m-%d %H:%M:%S%z")


class SlotLog:
    """Keeps what Python code of this process writes, in any thread, for the trial that it runs now.

    From the beginning of the process on, since a logger that is set up early keeps the stream that it found.
    """

    def __init__(self) -> None:
        self._before = sys.stdout, sys.stderr
        self._lock = threading.Lock()
        self._trial = ""
        self._kept = ""
        self._left_out = 0
        sys.stdout, sys.stderr = _Copying(sys.stdout, self), _Copying(sys.stderr, self)

    def begin(self, trial: str) -> None:
        """From now on it is another trial's; `trial`: how its lines begin."""
        self._trial = trial
        self.take()

    def say(self, text: str) -> None:
        """Write a line, or several, of our own. Never raises: a full disk under Ray's log must not fail a trial."""
        line = f"{moment()} {self._trial}: {text}\n"
        self.keep(line)
        with suppress(OSError, ValueError):
            self._before[0].write(line)
            self._before[0].flush()

    def keep(self, text: str) -> None:
        """Keep what is written elsewhere."""
        with self._lock:
            kept = self._kept + text
            self._left_out += max(0, len(kept) - MOST)
            self._kept = kept[-MOST:]

    def kept(self) -> str:
        """What was written since the last time that it was taken; it stays."""
        with self._lock:
            return self._kept

    def take(self) -> str:
        """What was written since the last time."""
        with self._lock:
            taken, left_out = self._kept, self._left_out
            self._kept, self._left_out = "", 0
        note = f"[{left_out} characters left out here: they are in Ray's log of this slot]\n" if left_out else ""
        return note + taken

    def close(self) -> None:
        """Put the streams back that were there before."""
        sys.stdout, sys.stderr = self._before


class _Copying:
    """A stream whose text a log gets too. All else, be it asked for its buffer or its fileno, is the stream's own."""

    def __init__(self, stream: Any, log: SlotLog) -> None:
        self._stream = stream
        self._log = log

    def write(self, text: str) -> int:
        self._log.keep(text)
        written: int = self._stream.write(text)
        return written

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
