"""Brings the files of trials to the driver's machine, from nodes that don't see its folder.

An actor there, the keeper, writes what they send. A node that does see the folder, by a shared file system, writes
there by itself: each process looks, since both kinds of node may work on one sweep.
"""

import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from cluster.asking import pinned_here
from tuner.trial_files import LocalFiles

MARK = ".keeper"
"""File in the folder by which a process knows that it sees this very folder, not one of the same path elsewhere."""


class _Keeper:
    """Writes and reads below a folder of its own machine, for others."""

    def __init__(self, root: Path) -> None:
        self._files = LocalFiles(root)

    def put(self, name: str, content: bytes) -> None:
        self._files.put(name, lambda path: path.write_bytes(content))

    def get(self, name: str) -> bytes:
        with self._files.fetched(name) as path:
            return path.read_bytes()

    def names(self, folder: str) -> list[str]:
        return self._files.names(folder)

    def remove(self, name: str) -> None:
        self._files.remove(name)


@dataclass(frozen=True)
class SentFiles:
    """Files below `root` on the machine of the keeper."""

    root: Path
    keeper: str
    """The actor's name."""

    def put(self, name: str, write: Callable[[Path], object]) -> None:
        if self._sees_root():
            return LocalFiles(self.root).put(name, write)
        with tempfile.TemporaryDirectory(prefix="voxtune-") as folder:
            path = Path(folder) / "file"
            write(path)
            self._ask("put", name, path.read_bytes())

    @contextmanager
    def fetched(self, name: str) -> Iterator[Path]:
        if self._sees_root():
            with LocalFiles(self.root).fetched(name) as path:
                yield path
            return
        with tempfile.TemporaryDirectory(prefix="voxtune-") as folder:
            path = Path(folder) / "file"
            path.write_bytes(self._ask("get", name))
            yield path

    def names(self, folder: str = "") -> list[str]:
        found: list[str] = self._ask("names", folder)
        return found

    def remove(self, name: str) -> None:
        self._ask("remove", name)

    def _sees_root(self) -> bool:
        try:
            return (self.root / MARK).read_text() == self.keeper
        except OSError:
            return False

    def _ask(self, method: str, *arguments: Any) -> Any:
        try:
            return ray.get(getattr(ray.get_actor(self.keeper), method).remote(*arguments))
        except RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, OSError):
                raise cause from error
            raise OSError(f"the driver's machine can't be reached: {error}") from error
        except ValueError as error:  # no actor of that name
            raise OSError(f"the driver has ended: {error}") from error


@contextmanager
def keeping(root: Path) -> Iterator[SentFiles]:
    """While the block runs, other nodes' processes reach the files below `root`, a folder of this machine."""
    name = f"keeper-{uuid.uuid4().hex[:12]}"
    actor: Any = ray.remote(num_cpus=0)(_Keeper)
    keeper = actor.options(name=name, scheduling_strategy=pinned_here()).remote(root)
    mark = root / MARK
    mark.write_text(name)
    try:
        yield SentFiles(root, name)
    finally:
        mark.unlink(missing_ok=True)
        ray.kill(keeper)
