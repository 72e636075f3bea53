"""Files of trials in object storage or on a share, named by a URI: `s3://bucket/folder`, `gs://...`, `file:///nfs/...`.

pyarrow knows the kinds of URI and their options (`s3://bucket/folder?region=eu-central-1`, or `&endpoint_override=` for
a server of one's own that speaks S3), and finds credentials where each kind's own tools do.
"""

import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pyarrow import ArrowException, fs

from cluster.asking import on_each_node
from cluster.errors import ClusterError
from cluster.nodes import Node
from trainables.whole_file import sync
from tuner.errors import SweepConfigError


@dataclass(frozen=True)
class ObjectStorage:
    """Files below the folder `name` of `uri`."""

    uri: str
    name: str

    def put(self, name: str, write: Callable[[Path], object]) -> None:
        with tempfile.TemporaryDirectory(prefix="voxtune-") as folder:
            path = Path(folder) / "file"
            write(path)
            self._upload(path, name)

    @contextmanager
    def fetched(self, name: str) -> Iterator[Path]:
        system, root = self._root
        with tempfile.TemporaryDirectory(prefix="voxtune-") as folder:
            path = Path(folder) / Path(name).name
            with system.open_input_stream(f"{root}/{name}") as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
            yield path

    def names(self, folder: str = "") -> list[str]:
        system, root = self._root
        selector = fs.FileSelector(f"{root}/{folder}".rstrip("/"), allow_not_found=True, recursive=True)
        files = (info for info in system.get_file_info(selector) if info.is_file)
        return sorted(info.path.removeprefix(f"{root}/") for info in files if not info.base_name.startswith("."))

    def remove(self, name: str) -> None:
        system, root = self._root
        kind = system.get_file_info(f"{root}/{name}").type
        if kind == fs.FileType.Directory:
            system.delete_dir(f"{root}/{name}")
        elif kind == fs.FileType.File:
            system.delete_file(f"{root}/{name}")

    def why_not_writable(self) -> str | None:
        """Tries it from this process. Returns what the storage answered; None if all went well."""
        probe = f".probe-{uuid.uuid4().hex[:12]}"
        try:
            self.put(probe, lambda path: path.write_text("voxtune"))
            self.remove(probe)
        except (OSError, ArrowException, SweepConfigError) as error:
            return str(error)
        return None

    def _upload(self, path: Path, name: str) -> None:
        """A file is there when its stream is closed: of an object store's by its rules, else by a rename."""
        system, root = self._root
        target = f"{root}/{name}"
        whole_when_closed = system.type_name in ("s3", "gcs", "abfs")
        written = target if whole_when_closed else f"{target}.part"
        system.create_dir(target.rpartition("/")[0], recursive=True)
        with path.open("rb") as source, system.open_output_stream(written) as stream:
            shutil.copyfileobj(source, stream)
        if not whole_when_closed:
            if system.type_name == "local":
                sync(Path(written))
            system.move(written, target)

    @cached_property
    def _root(self) -> tuple[fs.FileSystem, str]:
        try:
            system, root = fs.FileSystem.from_uri(self.uri)
        except (ArrowException, OSError) as error:
            raise SweepConfigError(f"checkpoints: {self.uri} can't be used: {error}") from error
        return system, f"{root.rstrip('/')}/{self.name}"

    def __getstate__(self) -> dict[str, str]:
        return {"uri": self.uri, "name": self.name}  # each process opens its own connection


def check_writable(storage: ObjectStorage, nodes: Sequence[Node]) -> None:
    """Raises ClusterError naming the first of these nodes that can't write there, and what the storage answered."""
    for node, why in on_each_node(nodes, ObjectStorage.why_not_writable, storage):
        if why:
            raise ClusterError(f"checkpoints: node {node.name} can't write to {storage.uri}: {why}")
