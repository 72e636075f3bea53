"""Lines at the bottom of a terminal, drawn over those that stood there: what happens otherwise is written above them.

Only lines that changed are written, each over the one before, so that the terminal never shows a part of them. rich's
`Live` erases all lines first: of 1002 captures of a table drawn 20 times a second in tmux 6 showed a part of it. Nor is
the screen ever erased from its top, which tmux takes as the end of a page, to be kept in its history.
The cursor rests at the beginning of the line below.
"""

import io
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

TOGETHER = "\x1b[?2026h", "\x1b[?2026l"
"""What stands between them a terminal shows at once, if it knows them; others pass over them."""

ERASE_REST_OF_LINE = "\x1b[K"
ERASE_BELOW = "\x1b[J"


class InPlace:
    """The lines; a context in which what other code prints appears above them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._file: TextIO = console.file  # type: ignore[assignment]
        self._lock = threading.RLock()  # a signal's handler may have something to say too
        self._shown: list[Text] = []
        self._diverted: list[tuple[str, TextIO, _Above]] = []

    def __enter__(self) -> "InPlace":
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is self._file or stream.isatty():
                above = _Above(self, stream)
                self._diverted.append((name, stream, above))
                setattr(sys, name, above)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._write("\r" + ERASE_BELOW)  # what the terminal showed of a Ctrl-C
        for name, stream, above in self._diverted:
            above.close()
            if getattr(sys, name) is above:  # else others have put theirs there meanwhile, and take it away themselves
                setattr(sys, name, stream)
        self._shown = []  # a log handler may keep what stood for the stream: it writes as the stream does from now on

    @property
    def width(self) -> int:
        """Characters of the widest line: the last place of a line stays free, for the cursor stands on it."""
        return max(1, self._console.width - 1)

    @property
    def height(self) -> int:
        """How many lines there is room for: one line of the terminal is the cursor's."""
        return max(1, self._console.height - 1)

    def show(self, lines: Sequence[Text]) -> None:
        """Draw these lines in place of those that stand there; those below the terminal's last are left out."""
        with self._lock:
            lines = list(lines[: self.height])
            if len(self._shown) > self.height or any(cell_len(line.plain) > self.width for line in self._shown):
                self._write(self._to_top() + self._drawn([], lines))  # the terminal became smaller
            elif lines != self._shown:
                self._write(self._drawn(self._shown, lines))
            self._shown = lines

    def above(self, text: str) -> None:
        """Write lines above ours; they may be wider than the terminal."""
        with self._lock:
            width = self._console.width
            over = []
            for line in text.removesuffix("\n").split("\n"):
                # Where it fills the terminal's line the cursor stands on its last character, which must stay.
                full = cell_len(Text.from_ansi(line).plain) % width == 0
                over += [line, "" if full and line else ERASE_REST_OF_LINE, "\n"]
            self._write(self._to_top() + "".join(over) + self._drawn([], self._shown))

    def _to_top(self) -> str:
        """Moves the cursor to the first line. Terminals break lines that a new width no longer holds."""
        width = self._console.width
        rows = sum(max(1, -(-cell_len(line.plain) // width)) for line in self._shown)
        return "\r" + (f"\x1b[{rows}A" if rows else "")

    def _drawn(self, old: Sequence[Text], new: Sequence[Text]) -> str:
        """What draws `new` over `old`, from the cursor's place below the old lines to that below the new ones."""
        moves, row = ["\r"], len(old)
        for place, line in enumerate(new):
            if place >= len(old) or line != old[place]:
                before = "" if old else ERASE_REST_OF_LINE  # or it may count as broken in two, as one there was
                moves += [_moved(row, place), before, self._rendered(line), ERASE_REST_OF_LINE, "\n"]
                row = place + 1
        return "".join([*moves, _moved(row, len(new)), ERASE_BELOW])

    def _rendered(self, line: Text) -> str:
        with self._console.capture() as capture:
            self._console.print(line, end="", soft_wrap=True, highlight=False)
        return capture.get()

    def _write(self, text: str) -> None:
        begin, end = TOGETHER
        self._file.write(begin + text + end)
        self._file.flush()


def _moved(row: int, to: int) -> str:
    """Moves the cursor to the beginning of another line."""
    return f"\x1b[{row - to}A" if to < row else f"\x1b[{to - row}B" if to > row else ""


class _Above(io.TextIOBase):
    """Stands for a stream while lines are shown: whole lines that are written to it go above them."""

    def __init__(self, place: InPlace, stream: TextIO) -> None:
        self._place, self._stream, self._rest = place, stream, ""

    def write(self, text: str) -> int:
        whole, newline, self._rest = (self._rest + text).rpartition("\n")
        if newline:
            self._place.above(whole + newline)
        return len(text)

    def flush(self) -> None:
        """A line that has not ended waits."""

    def close(self) -> None:
        if self._rest:
            self._place.above(self._rest)
            self._rest = ""

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding
