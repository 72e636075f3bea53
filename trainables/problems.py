"""Several problems told at once, as one error that stays readable."""

from collections.abc import Iterable
from pathlib import Path

from trainables.errors import DatasetError

SHOWN_PROBLEMS = 10

LONGEST_NAME = 200
"""Bytes of a case's name in UTF-8; file systems take 255, suffix included."""


def raise_problems(problems: Iterable[str]) -> None:
    """Raise one DatasetError that lists the first ten problems, if there is any."""
    listed = list(problems)
    if len(listed) == 1:
        raise DatasetError(listed[0])
    if listed:
        more = len(listed) - SHOWN_PROBLEMS
        lines = [
            f"{'the first ' if more >= 0 else ''}{min(len(listed), SHOWN_PROBLEMS)} problems:",
            *listed[:SHOWN_PROBLEMS],
            *([f"... and {more} more"] if more > 0 else []),
        ]
        raise DatasetError("\n  ".join(lines))


def is_file(path: Path) -> bool:
    """Whether `path` is a file, or a link to one; never raises."""
    try:
        return path.is_file()
    except OSError:  # a name longer than the file system takes, a folder that may not be looked into
        return False


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder, or a link to one; never raises."""
    try:
        return path.is_dir()
    except OSError:
        return False


def missing_hint(path: Path) -> str:
    """What may be wrong with the path of a file that is not there; ends what is said of it."""
    return "; write / instead of \\" if "\\" in path.name else ""


def name_problem(name: str) -> str | None:
    """Why `name` can't be a case's, if it can't: its label will be a file of that name."""
    if "/" in name or name.startswith(".") or not name.isprintable():
        return "must be a file's name: no '/', no '.' in front, nothing that can't be printed"
    if not name.strip() or len(name.encode()) > LONGEST_NAME:
        return f"must have 1 to {LONGEST_NAME} bytes (in UTF-8)"
    return None
