"""The files of trials, their states and models: by name, wherever they are kept.

    TrialFiles
    ├── LocalFiles     a folder that this process sees
    ├── SentFiles      the same folder on the driver's machine, for processes that may not see it (tuner.keeper)
    └── ObjectStorage  a bucket or a share that all nodes reach (tuner.object_storage)

A name is relative and has `/` between its parts.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tuner.files import replace_file


class TrialFiles(Protocol):
    """Each method raises OSError where the files can't be reached."""

    def put(self, name: str, write: Callable[[Path], object]) -> None:
        """Have `write` fill the file `name`, which is whole or not there; one of that name is replaced."""

    def fetched(self, name: str) -> AbstractContextManager[Path]:
        """The file `name` on this machine's disk, to read while the block runs."""

    def names(self, folder: str = "") -> list[str]:
        """The files in and below `folder`, in order; none where there is no such folder."""

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all that is in it, if it is there."""


@dataclass(frozen=True)
class LocalFiles:
    """Files below a folder that this process sees."""

    root: Path

    def put(self, name: str, write: Callable[[Path], object]) -> None:
        replace_file(self.root / name, write)

    @contextmanager
    def fetched(self, name: str) -> Iterator[Path]:
        path = self.root / name
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}")
        yield path

    def names(self, folder: str = "") -> list[str]:
        found = (self.root / folder).rglob("*")
        return sorted(
            path.relative_to(self.root).as_posix()
            for path in found
            if path.is_file() and not path.name.startswith(".")  # being written
        )

    def remove(self, name: str) -> None:
        path = self.root / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
