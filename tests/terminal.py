"""A real terminal for tests: a window of tmux, what it shows, and the bytes that were written to it."""

import io
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services import missing


class Screen(io.StringIO):
    """Text that takes itself for a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """A window in which a command runs."""

    socket: Path
    recorded: Path
    """What the command wrote, as the terminal got it."""

    ended: Path
    """Holds the command's exit code once it has ended."""

    def lines(self, *, history: bool = False, joined: bool = False) -> list[str]:
        """What is shown, a string a line of the window, without the blank ones at the end.

        Args:
            history: with what has left the window at its top.
            joined: lines that the terminal wrapped as one.
        """
        options = [*(["-S", "-"] if history else []), *(["-J"] if joined else [])]
        shown = self.tmux("capture-pane", "-p", *options).split("\n")
        while shown and not shown[-1].strip():
            shown.pop()
        return [line.rstrip() for line in shown]

    def written(self) -> bytes:
        return self.recorded.read_bytes()

    def type(self, *keys: str) -> None:
        """Press keys, by tmux's names: `C-c`, `Enter`."""
        self.tmux("send-keys", *keys)

    def resize(self, columns: int, rows: int) -> None:
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    @property
    def code(self) -> int | None:
        """The command's exit code; None while it runs."""
        text = self.ended.read_text() if self.ended.is_file() else ""
        return int(text) if text.strip() else None

    def wait(self, seconds: float) -> int:
        """Wait until the command has ended; its exit code."""
        self.until(lambda: self.code is not None, seconds)
        assert self.code is not None
        return self.code

    def until(self, true: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, "\n".join(self.lines(history=True))
            time.sleep(0.05)

    def tmux(self, *command: str) -> str:
        return _tmux(self.socket, *command)


@contextmanager
def terminal(command: Sequence[object], *, columns: int, rows: int, folder: Path) -> Iterator[Terminal]:
    """A window of so many columns and rows in which the command runs in `folder`; skips where there is no tmux."""
    if shutil.which("tmux") is None:
        missing("tmux is not installed; `.ci/services` installs it on Debian")
    with tempfile.TemporaryDirectory(prefix="voxtune-tmux-") as place:  # a socket's path must be short
        socket, recorded, ended, begun = (Path(place) / name for name in ("socket", "recorded", "ended", "begun"))
        typed = shlex.join(map(str, command))
        # It starts once its output is recorded, and the window stays when it has ended, by Ctrl-C too.
        script = f"trap : INT; while [ ! -e {begun} ]; do sleep 0.05; done; {typed}; echo $? > {ended}; sleep 600"
        size = ["-x", str(columns), "-y", str(rows)]
        shell = ["sh", "-c", script]
        try:
            _tmux(socket, "-f", "/dev/null", "new-session", "-d", *size, "-c", str(folder), *shell)
            _tmux(socket, "pipe-pane", "-O", f"cat > {recorded}")
            begun.touch()
            yield Terminal(socket=socket, recorded=recorded, ended=ended)
        finally:
            _tmux(socket, "kill-server")  # with it goes what runs in the window


def _tmux(socket: Path, *command: str) -> str:
    run = ["tmux", "-u", "-S", str(socket), *command]
    # Python's readline puts COLUMNS and LINES into the environment of what is started, other tests' processes too.
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    return subprocess.run(run, check=True, capture_output=True, text=True, timeout=20, env=environment).stdout
