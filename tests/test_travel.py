"""What goes from the driver's machine to trials on other nodes."""

import logging
from pathlib import Path

import pytest

from cluster.connect import Cluster
from cluster.errors import ClusterError
from cluster.nodes import Node
from cluster.shadowing import OURS
from tuner import travel
from tuner.travel import check_libraries, code_of

OUR_CODE = {OURS / name for name in ("tuner", "trainables", "search_spaces", "cluster")}
NODES = (Node(name="alpha", cpus=1, gpus=0), Node(name="beta", cpus=1, gpus=0))


def test_the_users_own_module_or_package_goes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_module_of_user.py").touch()
    (tmp_path / "own_package_of_user" / "deep").mkdir(parents=True)
    for folder in ("own_package_of_user", "own_package_of_user/deep"):
        (tmp_path / folder / "__init__.py").touch()
    (tmp_path / "own_folder_of_user").mkdir()
    (tmp_path / "own_folder_of_user" / "run.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert set(code_of("trainables.segmentation:SegmentationRun")) == OUR_CODE
    assert set(code_of("own_module_of_user:Run")) == OUR_CODE | {tmp_path / "own_module_of_user.py"}
    assert set(code_of("own_package_of_user.deep:Run")) == OUR_CODE | {tmp_path / "own_package_of_user"}
    assert set(code_of("own_folder_of_user.run:Run")) == OUR_CODE | {tmp_path / "own_folder_of_user"}
    assert set(code_of("monai.networks:Run")) == OUR_CODE  # installed: is on the nodes, or they are refused


def test_a_node_that_lacks_a_library_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here = {"torch": "2.13.0", "monai": "1.6.1"}
    there = [here, {"torch": "2.12.1", "monai": "1.6.1"}]
    monkeypatch.setattr(travel, "_versions", lambda: here)
    monkeypatch.setattr(travel, "on_each_node", lambda nodes, function: list(zip(nodes, there, strict=True)))
    cluster = Cluster(dashboard=None, nodes=NODES)
    with caplog.at_level(logging.WARNING):
        check_libraries(cluster)
    assert caplog.messages == ["node beta has torch 2.12.1, here is 2.13.0: scores may differ"]

    there[1] = {"torch": "2.13.0", "monai": None}
    with pytest.raises(ClusterError) as raised:
        check_libraries(cluster)
    assert str(raised.value) == ("node beta lacks monai, which trials need; install what is here: monai==1.6.1")


def test_the_libraries_are_those_that_are_installed() -> None:
    versions = travel._versions()
    assert versions.keys() == set(travel.LIBRARIES)
    assert all(versions.values())
