"""Which process this is, so that another one can tell later whether it still lives."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process, told from every other one: of another host, or of a later one with the same number."""

    host: str
    boot: str
    """The kernel's boot id and the namespace that `pid` counts in: containers on one host have their own."""
    pid: int
    started: int | None
    """When it started, in the kernel's clock ticks since boot (field 22 of /proc/PID/stat)."""

    @classmethod
    def current(cls) -> "Process":
        return cls(host=socket.gethostname(), boot=_boot(), pid=os.getpid(), started=_started(os.getpid()))

    def is_here(self) -> bool:
        """Whether it ran, or runs, where this process can see it."""
        return (self.host, self.boot) == (socket.gethostname(), _boot())

    def lives(self) -> bool:
        """Whether it still runs; to be asked only where it `is_here`."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # another user's
            pass
        # A /proc that hides other users' processes tells no start time; then the number has to do.
        return self.started is None or _started(self.pid) in (None, self.started)


def _boot() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {Path('/proc/self/ns/pid').readlink()}"


def _started(pid: int) -> int | None:
    """A process's start; -1 if it is dead and only waits for its parent to notice, None if it can't be seen."""
    try:
        # The second field is the program's name in parentheses, and may hold blanks and parentheses itself.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return -1 if fields[0] in "ZX" else int(fields[19])
