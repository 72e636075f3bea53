"""Connecting to Ray, and what a cluster of a given size holds."""

import pytest

from cluster.connect import Cluster, connect
from cluster.errors import ClusterError
from cluster.shadowing import OURS, hiding


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
    cluster = Cluster(dashboard=None, resources={"CPU": 8.0, "GPU": 4.0})
    assert cluster.slots(cpus=cpus, gpus=gpus) == slots


def test_a_trial_larger_than_the_cluster_is_refused():
    cluster = Cluster(dashboard=None, resources={"CPU": 8.0})
    with pytest.raises(ClusterError, match=r"asks for 1 GPU, but the cluster has 0; lower gpus_per_trial"):
        cluster.slots(cpus=1, gpus=1)
    with pytest.raises(ClusterError, match=r"asks for 9 CPU, but the cluster has 8; lower cpus_per_trial"):
        cluster.slots(cpus=9, gpus=0)


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
