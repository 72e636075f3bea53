"""One driver at a time: who works on a sweep's directory or an SQLite file, and whether it still lives.

    own      free                          owner.json written, touched every 10 s
    own      the owner lives               refused, nothing changed
    own      the owner's process is gone   taken over at once (same host)
    own      its heartbeat is 60 s old     taken over (any other host: its processes can't be seen from here)
    leave    owner.json removed

Nodes of a cluster share the file system but not the clock, so a heartbeat's age is the difference of two times that
the file system itself gave: the owner file's, and that of a file touched just now.
"""

import fcntl
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from tuner.background import beating
from tuner.errors import SweepDirectoryError
from tuner.files import replace_file
from tuner.process import Process
from tuner.storage import sqlite_file

HEARTBEAT_SECONDS = 10.0

DEAD_SECONDS = 60.0
"""Age of the last heartbeat at which an owner on another host counts as dead."""

log = logging.getLogger("voxtune")


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The driver that works, or worked until it died, on a sweep."""

    process: Process
    command: str
    since: str
    """When it began; local time, ISO 8601."""
    heartbeat_age: float
    """Seconds since it was last heard of."""

    @property
    def alive(self) -> bool:
        """Whether it still runs, as far as can be told from here."""
        return self.process.lives() if self.process.is_here() else self.heartbeat_age < DEAD_SECONDS

    def __str__(self) -> str:
        return (
            f"process {self.process.pid} on {self.process.host} ({self.command}) since {self.since}, "
            f"last heard of {self.heartbeat_age:.0f} s ago"
        )


def own(folder: Path) -> AbstractContextManager[None]:
    """While the block runs no other driver may work on the sweep in `folder`, from whatever host.

    Raises SweepDirectoryError if another driver does, and names it.
    """
    return _own(folder / "owner.json", lock=folder / ".lock", what=str(folder))


def own_storage(url: str | None) -> AbstractContextManager[None]:
    """The same for the SQLite file of `url`, which sweeps of several directories may name.

    Database servers take several drivers, and a journal lies in its sweep's directory: nothing to own.
    """
    file = None if url is None else sqlite_file(url)
    if file is None:
        return nullcontext()
    return _own(file.with_name(f"{file.name}.owner"), lock=file.with_name(f".{file.name}.lock"), what=str(file))


def read_owner(folder: Path) -> Owner | None:
    """Who works on the sweep in `folder`, alive or dead; None if its last driver left in order. Changes nothing."""
    return _read(folder / "owner.json", now=time.time())


@contextmanager
def _own(file: Path, *, lock: Path, what: str) -> Iterator[None]:
    try:
        mine = _claim(file, lock=lock, what=what)
    except OSError as error:
        raise SweepDirectoryError(f"{what} can't be worked on: {error.strerror}: {error.filename or file}") from error
    try:
        with beating(lambda: _beat(file, mine, what), every=HEARTBEAT_SECONDS, name="heartbeat"):
            yield
    finally:
        with suppress(OSError):
            if file.read_text() == mine:
                file.unlink()


def _claim(file: Path, *, lock: Path, what: str) -> str:
    """Write who we are to the owner file, unless a living owner stands there. Returns what was written."""
    with lock.open("a") as locked:
        with suppress(OSError):  # a file system without locks; the heartbeat finds out if two took over together
            fcntl.flock(locked, fcntl.LOCK_EX)
        os.utime(locked.fileno())
        owner = _read(file, now=os.fstat(locked.fileno()).st_mtime)
        if owner is not None and owner.alive:
            raise SweepDirectoryError(
                f"{what} is being worked on by {owner}: nothing was changed; wait for it or stop it first "
                f"(an owner on another host is taken to be dead {DEAD_SECONDS:.0f} s after it was last heard of)"
            )
        if owner is not None:
            log.warning("%s: taken over from %s, which is dead", what, owner)
        mine = json.dumps(
            {
                **asdict(Process.current()),
                "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
                "since": datetime.now().astimezone().isoformat(timespec="seconds"),
            }
        )
        replace_file(file, lambda temporary: temporary.write_text(mine))
        return mine


def _read(file: Path, *, now: float) -> Owner | None:
    """The owner in the file; `now` is by the clock of its file system, in seconds."""
    try:
        with file.open() as opened:  # opening makes a network file system ask its server for the time of the file
            beat = os.fstat(opened.fileno()).st_mtime
            known = json.load(opened)
        command, since = known.pop("command"), known.pop("since")
        return Owner(process=Process(**known), command=command, since=since, heartbeat_age=max(0.0, now - beat))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SweepDirectoryError(
            f"{file} does not say who works here ({error!r}); remove it if nobody does"
        ) from error


def _beat(file: Path, mine: str, what: str) -> None:
    """Touch the owner file.

    A driver that was stopped so long that another host took its place must not write one record more, so it ends there
    and then, without the usual farewells.
    """
    try:
        theirs = file.read_text()
        if theirs != mine:
            message = f"{what} was taken over by another driver while this one stood still: {theirs}"
            log.error(message)
            print(f"voxtune: {message}", file=sys.stderr, flush=True)
            os._exit(1)
        os.utime(file)
    except OSError as error:  # a file server that is away for a moment
        log.warning("%s: no heartbeat: %s", file, error)
