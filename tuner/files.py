"""What the application writes: whole files (`trainables/whole_file.py`), where nothing stands yet."""

import os
from pathlib import Path

from trainables.whole_file import replace_file
from tuner.errors import OutputError

__all__ = ["TEMPORARY", "check_output", "replace_file", "write_text"]

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


def write_text(path: Path, text: str) -> Path:
    """Put `text` into `path` as `replace_file` does. Returns `path`."""
    return replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
