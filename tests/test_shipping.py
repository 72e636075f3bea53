"""A folder that a node can't see comes to it through the object store."""

import os
import shutil
from pathlib import Path

import pytest
import ray

from cluster.nodes import alive_nodes
from tuner import shipping
from tuner.errors import SlotError
from tuner.shipping import ShippedFolder, is_whole, nodes_lacking, nodes_without, ship

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("connected")]


@ray.remote
def receive(shipped: ShippedFolder) -> str:
    return shipped.here()


def test_a_folder_is_written_again_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "PIECE", 1000)
    folder = tmp_path / "cache" / "3f9c"
    folder.mkdir(parents=True)
    content = {"volumes.bin": bytes(range(256)) * 10, "index.json": b"{}", "empty": b""}
    for name, data in content.items():
        (folder / name).write_bytes(data)
    nodes = alive_nodes(ray.nodes())
    assert nodes_without(folder, nodes) == []
    assert nodes_lacking(folder.iterdir(), nodes) == []
    shipped = ship(folder)
    assert [len(pieces) for *_, pieces in shipped.files] == [0, 1, 3]
    shutil.rmtree(tmp_path / "cache")  # now this node has not got it
    assert nodes_without(folder, nodes) == [node.name for node in nodes]
    assert ray.get([receive.remote(shipped) for _ in range(4)]) == [str(folder)] * 4
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == content
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == ["3f9c"]


def test_files_are_there_if_they_have_their_sizes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert is_whole(Path("/"), {str(tmp_path / "a"): 3})
    assert not is_whole(Path("/"), {str(tmp_path / "a"): 4})
    assert not is_whole(Path("/"), {str(tmp_path / "a"): 3, str(tmp_path / "b"): 3})


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text("{}")
    shipped = ship(tmp_path)
    (tmp_path / "index.json").write_text("[]")
    assert ray.get(receive.remote(shipped)) == str(tmp_path)
    assert (tmp_path / "index.json").read_text() == "[]"


def test_a_copy_that_was_torn_is_written_again(tmp_path: Path) -> None:
    folder = tmp_path / "3f9c"
    folder.mkdir()
    (folder / "volumes.bin").write_bytes(bytes(1000))
    shipped = ship(folder)
    os.truncate(folder / "volumes.bin", 10)
    assert ray.get(receive.remote(shipped)) == str(folder)
    assert (folder / "volumes.bin").read_bytes() == bytes(1000)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["3f9c"]


def test_a_node_without_room_is_named(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("a file")
    shipped = ShippedFolder(str(tmp_path / "here" / "3f9c"), [("volumes.bin", 3, ())])
    with pytest.raises(SlotError, match=r"here on .* can't hold the preprocessed volumes: File exists; make room"):
        shipped.here()
