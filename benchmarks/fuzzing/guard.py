"""Tries one input and judges what came of it: taken, or refused with an error made for users; all else is a finding."""

import os
import resource
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis.strategies import SearchStrategy

import trainables.machine_memory
from trainables.errors import PredictionError, TrainingError
from trainables.memory_limit import resident_gib, resident_peak_gib
from tuner.errors import USER_ERRORS, SweepFailed

REFUSED = (*USER_ERRORS, SweepFailed, TrainingError, PredictionError)
"""What the command line prints without a traceback."""

SECONDS = 10.0
"""Of the processor's time for one input: a busy machine is no finding."""

WAITING = 12 * SECONDS
"""For one input, by the clock on the wall."""

MEMORY = 2**30
"""Bytes that one input may take; all inputs are small."""

_CHANGING: dict[str, tuple[tuple[int, int | None], ...]] = {
    **dict.fromkeys(("os.remove", "os.rmdir", "shutil.rmtree"), ((0, 1),)),
    **dict.fromkeys(("os.mkdir", "os.chmod"), ((0, 2),)),
    "os.truncate": ((0, None),),
    "os.symlink": ((1, 2),),
    "os.link": ((1, 3),),
    "os.rename": ((0, 2), (1, 3)),
}
"""Python's audit events, and which of their arguments are paths that are changed; with each the argument that is the
open folder which it counts from, if any."""

_FORBIDDEN = {"subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn", "pickle.find_class"}
_OF_PYTHON = ("__pycache__", "/dev/null")


class Finding(AssertionError):  # noqa: N818 (what a fuzzer looks for)
    """An input that was neither taken nor refused as it should be."""


class _TooLongError(BaseException):
    """Time is over; no `except Exception` is to take it."""


class _OutsideError(BaseException):
    """Something else was about to be changed than the folder that was given."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A kind of input, and what voxtune does with it."""

    name: str
    inputs: Callable[[], SearchStrategy[Any]]
    use: Callable[[Any, Path], object]
    """Does with an input what voxtune does; the folder is empty, and all that may be written to."""

    good: Callable[[], Any]
    """An input as it should be, which is taken."""

    examples: int
    """So many are tried by the test, within a second or two."""

    def warm_up(self, base: Path) -> None:
        """Use the good input, unwatched: what libraries do when they are first called is no input's doing."""
        folder = _emptied(base)
        with warnings.catch_warnings(action="ignore"):
            self.use(self.good(), folder)


def tried(subject: Subject, given: Any, base: Path) -> bool:
    """Whether the input is taken; False if it was refused. Raises Finding; works in a new folder in `base`."""
    folder = _emptied(base)
    _forget_peak()
    before = resident_gib()
    try:
        with _bounded(folder), warnings.catch_warnings(action="ignore"):
            subject.use(given, folder)
        taken = True
    except REFUSED as error:
        if not str(error).strip():
            raise Finding(f"{subject.name}: refused by a {type(error).__name__} that says nothing") from error
        taken = False
    except _TooLongError as error:
        raise Finding(f"{subject.name}: takes more than {SECONDS:g} s, or waits for more than {WAITING:g}") from error
    except _OutsideError as error:
        raise Finding(f"{subject.name}: {error}") from error
    except Exception as error:
        raise Finding(f"{subject.name}: {type(error).__name__}: {str(error)[:300]}") from error
    taken_gib = resident_peak_gib() - before
    if taken_gib * 2**30 > MEMORY:
        raise Finding(f"{subject.name}: took {taken_gib:.1f} GiB of memory")
    return taken


def place_of(finding: BaseException) -> str:
    """What it is and where in voxtune it rose: findings of one place are one."""
    cause = finding.__cause__ or finding
    where, trace = "", cause.__traceback__
    root = str(Path(__file__).parents[2])
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(root) and "benchmarks" not in file and ".venv" not in file:
            where = f"{Path(file).relative_to(root)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(cause).__name__} at {where or 'no line of voxtune'}"


def _emptied(base: Path) -> Path:
    folder = base / "input"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")  # proc(5): the peak is from now on what is resident now


@contextmanager
def _bounded(folder: Path) -> Iterator[None]:
    """While the block runs time and memory are limited, only what is in `folder` is changed, and no program started."""
    global _watched
    _hook_once()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    timers = {
        signal.SIGPROF: (signal.ITIMER_PROF, SECONDS),
        signal.SIGALRM: (signal.ITIMER_REAL, WAITING),
    }
    handlers = {number: signal.signal(number, _over) for number in timers}
    told = trainables.machine_memory.machine_memory
    trainables.machine_memory.machine_memory = lambda: MEMORY  # as on a machine that has no more
    resource.setrlimit(resource.RLIMIT_AS, (mapped + 2 * MEMORY, hard))
    for timer, seconds in timers.values():
        signal.setitimer(timer, seconds)
    _watched = os.path.realpath(folder)
    try:
        yield
    finally:
        _watched = None
        for number, (timer, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, handlers[number])
        trainables.machine_memory.machine_memory = told
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _over(number: int, frame: FrameType | None) -> None:
    raise _TooLongError


_watched: str | None = None
_hooked = False


def _hook_once() -> None:
    """Python's audit hooks can't be taken away again: one for all."""
    global _hooked
    if not _hooked:
        _hooked = True
        sys.addaudithook(_see)


def _see(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched is None:
        return
    if event in _FORBIDDEN:
        raise _OutsideError(f"{event} of {arguments[0]!r:.100}")
    changed = _CHANGING.get(event, ())
    if event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        changed = ((0, None),)
    for index, base in changed:
        given, opened = arguments[index], None if base is None else arguments[base]
        if not isinstance(given, str | bytes | os.PathLike):
            continue  # an open file's number
        folder = Path.cwd() if opened in (None, -1) else Path(f"/proc/self/fd/{opened}").readlink()
        name = folder / os.fsdecode(given)
        path = str(name.parent.resolve() / name.name)
        if not path.startswith(_watched) and not any(part in path for part in _OF_PYTHON):
            raise _OutsideError(f"{event} of {path}, which is not in its folder")
