"""Connecting to Ray, and what a cluster of a given size holds."""

import socket
import threading
from contextlib import suppress

import pytest
from ray.cluster_utils import Cluster as RunningCluster

from cluster import head
from cluster.connect import Cluster, connect
from cluster.errors import ClusterError
from cluster.nodes import Node
from cluster.shadowing import OURS, hiding


def cluster_of(*sizes: tuple[float, float], elastic: bool = False) -> Cluster:
    """One node for each (CPUs, GPUs): `node0`, `node1`, ..."""
    nodes = (Node(name=f"node{index}", cpus=cpus, gpus=gpus) for index, (cpus, gpus) in enumerate(sizes))
    return Cluster(dashboard=None, nodes=tuple(nodes), elastic=elastic)


@pytest.mark.parametrize(
    ("cpus", "gpus", "slots"),
    [
        (1, 0, 8),
        (2, 0, 4),
        (3, 0, 2),
        (0.5, 0, 16),
        (1, 1, 4),
        (1, 0.5, 8),
        (1, 0.4, 8),
        (0.1, 0.2, 20),
        (3, 0.5, 2),
        (2, 2, 2),
    ],
)
def test_slots_are_limited_by_cores_and_whole_devices(cpus, gpus, slots):
    assert cluster_of((8, 4)).slots(cpus=cpus, gpus=gpus) == slots


@pytest.mark.parametrize(
    ("sizes", "cpus", "gpus", "slots"),
    [
        ([(3, 0), (3, 0)], 2, 0, 2),  # 6 CPU in sum, but 3 trials would tear one apart
        ([(3, 0), (3, 0)], 1.5, 0, 4),
        ([(4, 0), (1, 0)], 2, 0, 2),  # nothing fits on the second
        ([(4, 1), (16, 0)], 2, 1, 1),  # cores of a node without GPUs are of no use
        ([(16, 3), (16, 3)], 1, 2, 2),
        ([(2, 1), (8, 2)], 1, 0.25, 2 + 8),
    ],
)
def test_a_trial_lies_on_one_node(sizes, cpus, gpus, slots):
    assert cluster_of(*sizes).slots(cpus=cpus, gpus=gpus) == slots


@pytest.mark.parametrize(
    ("sizes", "cpus", "gpus", "message"),
    [
        (
            [(8, 0)],
            1,
            1,
            "resources: a trial asks for 1 GPU, but the largest node, node0, has 0; lower gpus_per_trial, "
            "or connect to a cluster with larger nodes by --address",
        ),
        (
            [(4, 0), (8, 0)],
            9,
            0,
            "resources: a trial asks for 9 CPU, but the largest node, node1, has 8; lower cpus_per_trial, "
            "or connect to a cluster with larger nodes by --address",
        ),
        (
            [(16, 0), (2, 1), (4, 2)],
            8,
            1,
            "resources: a trial asks for 8 CPU and 1 GPU on one node, but the largest that has the GPUs, node2, has "
            "4 CPU; lower cpus_per_trial, or connect to a cluster with larger nodes by --address",
        ),
    ],
)
def test_a_trial_larger_than_any_node_is_refused(sizes, cpus, gpus, message):
    with pytest.raises(ClusterError) as raised:
        cluster_of(*sizes).slots(cpus=cpus, gpus=gpus)
    assert str(raised.value) == message


def test_a_type_of_gpu():
    a100, h100 = (Node(name=f"with {kind}", cpus=8, gpus=4, gpu_type=kind) for kind in ("A100", "H100"))
    cluster = Cluster(dashboard=None, nodes=(a100, h100, Node(name="head", cpus=4, gpus=0)))
    assert cluster.with_gpus("H100").nodes == (h100,)
    assert cluster.with_gpus("H100").slots(cpus=1, gpus=1) == 4
    with pytest.raises(ClusterError) as raised:
        cluster.with_gpus("V100")
    assert str(raised.value) == "resources.gpu_type: no node has V100 GPUs; there are A100, H100"
    with pytest.raises(ClusterError, match="no node has V100 GPUs; no node has GPUs"):
        cluster_of((4, 0)).with_gpus("V100")
    assert cluster_of((4, 0), elastic=True).with_gpus("V100").slots(cpus=1, gpus=1) == 0


def test_larger_nodes_may_come_to_an_elastic_cluster():
    assert cluster_of((8, 0), elastic=True).slots(cpus=1, gpus=1) == 0
    assert cluster_of((8, 0), elastic=True).slots(cpus=4, gpus=0) == 2


@pytest.mark.ray
@pytest.mark.slow
def test_nodes_of_a_running_cluster(monkeypatch):
    monkeypatch.delenv("RAY_NODE_TYPE_NAME", raising=False)
    running = RunningCluster(initialize_head=True, head_node_args={"num_cpus": 3, "include_dashboard": False})
    try:
        lost = running.add_node(num_cpus=3)
        running.add_node(num_cpus=3, num_gpus=2, resources={"accelerator_type:A100": 1})
        running.remove_node(lost)
        with connect(running.address) as cluster:
            nodes = sorted((node.cpus, node.gpus, node.gpu_type) for node in cluster.nodes)
            assert nodes == [(3, 0, None), (3, 2, "A100")]
            assert cluster.slots(cpus=2, gpus=0) == 2
            assert cluster.slots(cpus=1, gpus=0.5) == 3
            assert not cluster.elastic
        monkeypatch.setenv("RAY_NODE_TYPE_NAME", "workers")  # as `ray up` and KubeRay start their nodes
        running.add_node(num_cpus=1)
        with connect(running.address) as cluster:
            assert len(cluster.nodes) == 3
            assert cluster.elastic
    finally:
        running.shutdown()


def test_folders_named_like_ours_are_refused(tmp_path, monkeypatch):
    (tmp_path / "tuner").mkdir()
    assert hiding(tmp_path) == []
    (tmp_path / "tuner" / "__init__.py").touch()
    (tmp_path / "cluster.py").touch()
    assert hiding(tmp_path) == [str(tmp_path / "tuner" / "__init__.py"), str(tmp_path / "cluster.py")]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ClusterError, match=r"hides voxtune's own modules .*tuner/__init__\.py"), connect():
        pass


def test_our_own_checkout_hides_nothing():
    assert hiding(OURS) == []


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", r"no Ray cluster answers at 127\.0\.0\.1:1: .*refused"),
        ("127.0.0.1", r"expected auto or HOST:PORT, got '127\.0\.0\.1'"),
        ("127.0.0.1:99999", r"no Ray cluster answers at 127\.0\.0\.1:99999"),
    ],
)
def test_no_cluster_at_the_address(address, message):
    with pytest.raises(ClusterError, match=message), connect(address):
        pass


def test_what_answers_is_no_head():
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_hang_up_on_all, args=(server,), daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        said = f"what answers at {address} is no Ray head: UNAVAILABLE"
        with pytest.raises(ClusterError, match=said), connect(address):
            pass


def _hang_up_on_all(server: socket.socket) -> None:
    with suppress(OSError):
        while True:
            server.accept()[0].close()


def test_a_head_that_has_only_just_begun_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers before it is a node itself."""
    answers = iter([set(), set(), {"127.0.0.1"}])
    monkeypatch.setattr(head, "_node_addresses", lambda address, token: next(answers))
    head._check_here("127.0.0.1:6379", None)
    assert next(answers, None) is None
