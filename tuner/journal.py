"""Optuna's journal file, made safe against kills and full disks.

A journal holds one record a line, and a record counts once its newline is on the disk. Optuna's own writer can leave a
part of a record behind; the next record is then glued to it, and no reader gets past that line again. Here

    a kill while writing      leaves a torn tail: readers pass over it, the next owner cuts it at the last newline
    a full disk               the part that was written is taken back, so the study stays as it was before
    a kill while locked       leaves a lock that would cost 30 s: the next owner removes it
    a damaged line            (of an earlier writer) is named to readers; the next owner drops it and keeps a copy

The owner is the one driver of a sweep (`tuner/owner.py`). Everybody else only reads, and changes nothing.
"""

import errno
import json
import logging
import os
import shutil
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from tuner.errors import StudyError
from tuner.files import replace_file
from tuner.interrupt import undisturbed

LOCK_PATIENCE = 2.0
"""Seconds that a lock may stand before its holder is taken to be dead. A record is written in milliseconds."""

_RECORD_START = b'{"op_code":'
"""How Optuna begins each record; inside a record's strings the quotes would be escaped."""

_NOT_REPLAYED = (
    *(KeyError, IndexError, AssertionError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError),
    optuna.exceptions.OptunaError,
)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

log = logging.getLogger("voxtune")


def open_journal(path: Path, *, owner: bool) -> JournalStorage:
    """Open the journal at `path`: to write it as its only driver, or to read it.

    The owner makes the file where there is none, and mends what an earlier writer left torn. Raises StudyError if the
    journal can't be read or mended; a reader also if there is none.
    """
    try:
        with undisturbed():
            if owner:
                backend: JournalFileBackend = _Journal(path)
            elif path.is_file():
                backend = _ReadOnlyJournal(path)
            else:
                raise StudyError(f"no study at {path}: no trial was begun yet")
            return JournalStorage(backend)
    except OSError as error:
        raise StudyError(f"study journal {path} can't be opened: {error.strerror}") from error
    except StudyError:
        raise
    except _NOT_REPLAYED as error:  # a record that is JSON, but none that Optuna can replay
        raise StudyError(
            f"study journal {path} is not one that Optuna {optuna.__version__} can read: {error!r}"
        ) from error


def written_together(storage: BaseStorage) -> AbstractContextManager[None]:
    """While the block runs what is written to a journal waits, and is then written and synced to the disk once.

    Nothing in other storages. Raises StudyError if it can't be written: then none of it is, though the storage object
    shows it, so that the process has to end.
    """
    backend = getattr(storage, "_backend", None)
    return backend.together() if isinstance(backend, _Journal) else nullcontext()


class _ReadOnlyJournal(JournalFileBackend):
    """The journal as readers see it while its owner writes."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """The records from a number on. Raises StudyError at a damaged line; a torn tail is not read.

        Optuna asks before nearly all that it does; where the file has not grown, it is not opened for that.
        """
        if self._log_number_offset.get(log_number_from) == self.path.stat().st_size:
            return
        try:
            yield from super().read_logs(log_number_from)
        except (ValueError, RecursionError) as error:  # json's and UTF-8's errors are ValueErrors
            damaged = [number for number, line in enumerate(_lines(self.path), 1) if not _is_record(line)]
            raise StudyError(
                f"study journal {self.path} is damaged: {_lines_named(damaged)} no record; "
                f"`voxtune resume {self.path.parent}` drops what is damaged and keeps the rest"
            ) from error

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise StudyError(f"study journal {self.path} was opened to be read")


class _Journal(_ReadOnlyJournal):
    """The journal as its owner writes it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._file_lock = JournalFileSymlinkLock(str(path))
        self._held_back: list[dict[str, Any]] | None = None
        self._first_held_back = 0
        _remove_stale_lock(Path(f"{path}.lock"))
        with self._locked():
            _mend(path)

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        if self._held_back is None or log_number_from < self._first_held_back:
            yield from super().read_logs(log_number_from)
        if self._held_back is not None:
            yield from self._held_back[max(0, log_number_from - self._first_held_back) :]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write the records: all of them, or none and StudyError."""
        if self._held_back is None:
            with self._locked():
                self._write(logs)
        else:
            self._held_back.extend(logs)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write all records of the block at its end: as one, or none and StudyError."""
        if self._held_back is not None:
            yield
            return
        with self._locked():
            known = next(reversed(self._log_number_offset))
            self._first_held_back = known + sum(1 for _ in super().read_logs(known))
            self._held_back = []
            try:
                yield
            finally:
                held_back, self._held_back = self._held_back, None
                self._remember(self._write(held_back))

    def _remember(self, written: Sequence[bytes]) -> None:
        """Where the records begin that were held back. Optuna took them from memory, and would look for the one after
        them from the first line of the file on: at a thousand trials four fifths of a driver's time."""
        offset = self._log_number_offset[self._first_held_back]
        for number, line in enumerate(written, self._first_held_back + 1):
            offset += len(line)
            self._log_number_offset[number] = offset

    def _write(self, logs: list[dict[str, Any]]) -> list[bytes]:
        """Append the records; gives back their lines."""
        lines = [json.dumps(record, separators=(",", ":")).encode() + b"\n" for record in logs]
        try:
            _append(self.path, b"".join(lines))
        except OSError as error:
            reason = "the disk is full" if error.errno in _FULL else error.strerror
            raise StudyError(
                f"study journal {self.path} can't be written: {reason}; what was written before is whole: "
                f"make room, then go on by `voxtune resume {self.path.parent}`"
            ) from error
        return lines

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Optuna's own lock, because others may write: optuna-dashboard saves notes.

        An interrupt waits: in the midst of it Optuna's lock would raise an error of its own in the interrupt's place.
        """
        with undisturbed():
            self._file_lock.acquire()
            try:
                yield
            finally:
                self._file_lock.release()


def _append(path: Path, content: bytes) -> None:
    """Put `content` at the end of the file and on the disk, or leave the file as it was."""
    with path.open("rb+", buffering=0) as file:
        _cut_torn_tail(file.fileno())
        before = os.lseek(file.fileno(), 0, os.SEEK_END)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(file.fileno(), rest) :]
            os.fsync(file.fileno())
        except OSError:
            os.ftruncate(file.fileno(), before)
            raise


def _cut_torn_tail(descriptor: int) -> int:
    """Cut the file after its last newline; returns how many bytes went. A record without one was never confirmed."""
    size = end = os.lseek(descriptor, 0, os.SEEK_END)
    while end and os.pread(descriptor, 1, end - 1) != b"\n":
        start = max(0, end - 4096)
        end = start + os.pread(descriptor, end - start, start).rfind(b"\n") + 1
    if end < size:
        os.ftruncate(descriptor, end)
    return size - end


def _mend(path: Path) -> None:
    """Make every line a record. What is dropped besides a torn tail stays in `study.journal.damaged`."""
    with path.open("rb+", buffering=0) as file:
        cut = _cut_torn_tail(file.fileno())
    if cut:
        log.warning("%s: a torn last record of %d bytes was cut", path, cut)
    damaged = [number for number, line in enumerate(_lines(path), 1) if not _is_record(line)]
    if not damaged:
        return
    copy = _free_name(path.with_name(f"{path.name}.damaged"))
    shutil.copyfile(path, copy)
    replace_file(path, lambda temporary: temporary.write_bytes(b"".join(_whole_records(path))))
    log.warning("%s: %s no record: dropped; the journal as it was: %s", path, _lines_named(damaged), copy)


def _whole_records(path: Path) -> Iterator[bytes]:
    """The records, each with its newline; of a damaged line the whole records that were glued to a torn one."""
    for line in _lines(path):
        if _is_record(line):
            yield line
        else:
            pieces = (_RECORD_START + piece for piece in line.rstrip(b"\n").split(_RECORD_START)[1:])
            yield from (piece + b"\n" for piece in pieces if _is_record(piece))


def _lines(path: Path) -> Iterator[bytes]:
    """The lines that end with a newline."""
    with path.open("rb") as file:
        yield from (line for line in file if line.endswith(b"\n"))


def _is_record(line: bytes) -> bool:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and "op_code" in record


def _lines_named(numbers: list[int]) -> str:
    return f"line {numbers[0]} is" if len(numbers) == 1 else f"lines {', '.join(map(str, numbers))} are"


def _free_name(path: Path) -> Path:
    number = 1
    free = path
    while free.exists():
        free = path.with_name(f"{path.name}.{number}")
        number += 1
    return free


def _remove_stale_lock(lock: Path) -> None:
    """Remove a lock that stands unchanged for LOCK_PATIENCE seconds: its holder is dead."""
    first = _made(lock)
    waited_until = time.monotonic() + LOCK_PATIENCE
    while first is not None and time.monotonic() < waited_until:
        time.sleep(0.05)
        if _made(lock) != first:
            return
    if first is not None:
        lock.unlink(missing_ok=True)


def _made(lock: Path) -> tuple[int, int] | None:
    """What tells one lock from the next; None if there is no lock. The link itself: its target is the journal."""
    try:
        known = lock.lstat()
    except FileNotFoundError:
        return None
    return known.st_ino, known.st_mtime_ns
