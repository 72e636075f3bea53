"""Brings a folder of this machine to nodes that can't see it.

Preprocessed volumes lie on a disk and are memory-mapped: the kernel keeps one copy of their pages for all processes of
a node, drops pages under pressure instead of failing, and finds them again after a restart. What that needs is the
folder on each node. Where nodes share a file system it is there; elsewhere it goes once through Ray's object store,
in pieces that Ray may spill, and is written at the same path.
"""

import fcntl
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from cluster.asking import on_each_node
from cluster.nodes import Node

PIECE = 64 * 2**20
"""Bytes of a piece: what a node needs in memory at a time to receive a folder."""


@dataclass(frozen=True)
class ShippedFolder:
    """A folder that stands in the object store, file by file."""

    path: str
    files: Sequence[tuple[str, Sequence[Any]]]
    """Name, and the references of its pieces in order."""

    def here(self) -> str:
        """The folder's path, once it stands on this node too: written whole by the first process that asks."""
        folder = Path(self.path)
        if folder.is_dir():
            return self.path
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_name(f".{folder.name}.shipped.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.is_dir():  # another process wrote it while we waited
                self._write(folder)
        return self.path

    def _write(self, folder: Path) -> None:
        partial = folder.with_name(f".{folder.name}.shipped")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            for name, pieces in self.files:
                with (partial / name).open("wb") as file:
                    for piece in pieces:
                        file.write(ray.get(piece))
                    file.flush()
                    os.fsync(file.fileno())
            partial.rename(folder)
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
        files.append((file.name, pieces))
    return ShippedFolder(str(folder), files)


def nodes_without(folder: Path, nodes: Sequence[Node]) -> list[str]:
    """The names of those nodes on which `folder` is not."""
    return [node.name for node, found in on_each_node(nodes, os.path.isdir, str(folder)) if not found]
