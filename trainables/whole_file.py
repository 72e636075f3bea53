"""Files that are whole or not there, whenever the process dies or the machine's power goes."""

import os
from collections.abc import Callable
from pathlib import Path


def replace_file(path: Path, write: Callable[[Path], object], *, private: bool = False) -> Path:
    """Have `write` fill a temporary file beside `path`, sync it to disk and put it in `path`'s place.

    A `private` file can be read by its owner alone, from its first byte on. Returns `path`. Raises what `write` raises,
    and an OSError that names `path`; nothing temporary is left then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if private:
            temporary.touch(mode=0o600)
        write(temporary)
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        if error.errno and not error.filename:  # a full disk does not say what it had no room for
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
    return path


def sync(path: Path) -> None:
    """Have a file's content on the disk; or a folder's, which is the names in it: what was made or renamed there."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
