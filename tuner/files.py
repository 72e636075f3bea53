"""Files that are whole or not there, whenever the process dies."""

import os
from collections.abc import Callable
from pathlib import Path

from tuner.errors import OutputError

TEMPORARY = ".*.tmp"
"""Pattern of the names of files that are being written."""


def check_output(path: Path) -> None:
    """Raises OutputError unless `path` can be written and nothing stands there: asked before work is done for it."""
    if path.exists():
        raise OutputError(f"{path} exists already: nothing was written; choose another --output")
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    if not nearest.is_dir():
        raise OutputError(f"{path} can't be written: {nearest} is a file; choose another --output")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f"{path} can't be written: {nearest} is not writable; choose another --output")


def replace_file(path: Path, write: Callable[[Path], object], *, private: bool = False) -> Path:
    """Have `write` fill a temporary file beside `path`, sync it to disk and put it in `path`'s place.

    A `private` file can be read by its owner alone, from its first byte on.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if private:
            temporary.touch(mode=0o600)
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say what it had no room for
        raise
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_text(path: Path, text: str) -> Path:
    """Put `text` into `path` as `replace_file` does. Returns `path`."""
    return replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
