"""Brings a folder of this machine to nodes that can't see it.

Preprocessed volumes lie on a disk and are memory-mapped: the kernel keeps one copy of their pages for all processes of
a node, drops pages under pressure instead of failing, and finds them again after a restart. What that needs is the
folder on each node. Where nodes share a file system it is there; elsewhere it goes once through Ray's object store,
in pieces that Ray may spill, and is written at the same path.
"""

import fcntl
import os
import shutil
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from cluster.asking import on_each_node
from cluster.nodes import Node
from trainables.whole_file import sync
from tuner.errors import SlotError

PIECE = 64 * 2**20
"""Bytes of a piece: what a node needs in memory at a time to receive a folder."""


@dataclass(frozen=True)
class ShippedFolder:
    """A folder that stands in the object store, file by file."""

    path: str
    files: Sequence[tuple[str, int, Sequence[Any]]]
    """Name, size in bytes, and the references of its pieces in order."""

    def here(self) -> str:
        """The folder's path, once it stands on this node too: written whole by the first process that asks.

        Raises SlotError if there is no room for it.
        """
        folder = Path(self.path)
        if is_whole(folder, self.sizes):
            return self.path
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with folder.with_name(f".{folder.name}.shipped.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not is_whole(folder, self.sizes):  # another process wrote it while we waited
                    self._write(folder)
        except OSError as error:
            host = socket.gethostname()
            raise SlotError(
                f"{folder.parent} on {host} can't hold the preprocessed volumes: {error.strerror or error}; make room"
            ) from error
        return self.path

    @property
    def sizes(self) -> dict[str, int]:
        return {name: size for name, size, _ in self.files}

    def _write(self, folder: Path) -> None:
        partial = folder.with_name(f".{folder.name}.shipped")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            for name, _, pieces in self.files:
                with (partial / name).open("wb") as file:
                    for piece in pieces:
                        file.write(ray.get(piece))
                    file.flush()
                    os.fsync(file.fileno())
            sync(partial)
            shutil.rmtree(folder, ignore_errors=True)  # damaged after it was written
            partial.rename(folder)
            sync(folder.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def ship(folder: Path) -> ShippedFolder:
    """Put the files of a flat folder into the object store; they stay there as long as what is returned lives."""
    files = []
    for file in sorted(folder.iterdir()):
        pieces = []
        with file.open("rb") as content:
            while piece := content.read(PIECE):
                pieces.append(ray.put(piece))
        files.append((file.name, file.stat().st_size, pieces))
    return ShippedFolder(str(folder), files)


def nodes_without(folder: Path, nodes: Sequence[Node]) -> list[str]:
    """The names of those nodes on which `folder` is not, or not as it is here."""
    here = folder.iterdir() if folder.is_dir() else ()
    sizes = {file.name: file.stat().st_size for file in here if file.is_file()}
    return _nodes_not_whole(folder, sizes, nodes)


def nodes_lacking(files: Iterable[Path], nodes: Sequence[Node]) -> list[str]:
    """The names of those nodes on which one of `files`, absolute, is not, or not of the size that it has here."""
    sizes = {str(file): file.stat().st_size for file in files}
    return _nodes_not_whole(Path("/"), sizes, nodes)


def _nodes_not_whole(folder: Path, sizes: Mapping[str, int], nodes: Sequence[Node]) -> list[str]:
    return [node.name for node, found in on_each_node(nodes, is_whole, folder, sizes) if not found]


def is_whole(folder: Path, sizes: Mapping[str, int]) -> bool:
    """Whether the files of these sizes, in bytes, are in `folder`."""
    try:
        return folder.is_dir() and all((folder / name).stat().st_size == size for name, size in sizes.items())
    except OSError:
        return False
