"""What a trial's process writes: kept in Ray's log of its slot, and line by line in a file of the trial's own.

The lines travel to the driver with the trial's reports, so a node needs no disk that others see. What a process wrote
after its last report, before it was killed, is in Ray's log alone.
"""

import io
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO

MOST = 100_000
"""Characters that one report carries; of more than that the last are kept."""


class TrialLog:
    """Of the trial that a slot runs now."""

    def __init__(self, trial: str) -> None:
        """`trial`: how its lines begin."""
        self._trial = trial
        self._kept = ""
        self._left_out = 0

    def say(self, text: str) -> None:
        """Write a line, or several, of our own."""
        with self.capturing():
            print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {self._trial}: {text}", flush=True)

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """Keep a copy of what Python code writes to its standard output and error in the block, in any thread."""
        with redirect_stdout(_Copying(sys.stdout, self)), redirect_stderr(_Copying(sys.stderr, self)):
            yield

    def keep(self, text: str) -> None:
        """Keep what was written elsewhere."""
        kept = self._kept + text
        self._left_out += max(0, len(kept) - MOST)
        self._kept = kept[-MOST:]

    def take(self) -> str:
        """What was written since the last time."""
        taken, left_out = self._kept, self._left_out
        self._kept, self._left_out = "", 0
        note = f"[{left_out} characters left out here: they are in Ray's log of this slot]\n" if left_out else ""
        return note + taken


class _Copying(io.TextIOBase):
    """Writes to a stream, and to a trial's log too. All else is the stream's own affair, be it asked for its fileno."""

    def __init__(self, stream: TextIO, log: TrialLog) -> None:
        self._stream = stream
        self._log = log

    def write(self, text: str) -> int:
        self._log.keep(text)
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding
