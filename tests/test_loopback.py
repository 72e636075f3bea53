"""Where a Ray listens that is started for this machine alone. With a real one: tests/test_signals.py."""

from typing import Any

import pytest
from ray._private import ray_constants

from cluster.connect import connect
from cluster.errors import ClusterError
from cluster.loopback import on_loopback


def test_only_while_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, raising=False)
    with on_loopback():
        assert not ray_constants.ENABLE_RAY_CLUSTER
    assert ray_constants.ENABLE_RAY_CLUSTER


def test_who_says_otherwise_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, "1")
    with on_loopback():
        assert ray_constants.ENABLE_RAY_CLUSTER


def test_a_ray_of_the_sweep_s_own_is_started_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, raising=False)
    for_others = []

    def started(**options: Any) -> None:
        for_others.append(ray_constants.ENABLE_RAY_CLUSTER)
        raise ConnectionError("seen enough")

    monkeypatch.setattr("ray.init", started)
    with pytest.raises(ClusterError, match="seen enough"), connect():
        pass
    assert for_others == [False]
