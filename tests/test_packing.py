"""How large a share of a GPU each trial of a sweep gets."""

import time
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from cluster.connect import Cluster
from cluster.errors import ClusterError
from cluster.nodes import Node
from search_spaces.space import parse_space
from tuner import share, sweep
from tuner.config import SweepConfig
from tuner.machine import CudaDevice
from tuner.memory_check import looking_ahead
from tuner.packing import CONTEXT_GIB, USABLE, gpus_per_trial, largest_that_fits, memory_of_share
from tuner.share import share_of_trial
from tuner.sweep import run_sweep

SPACE = parse_space(
    {
        "learning_rate": {"float": [1e-4, 1e-2], "log": True},
        "batch_size": {"choice": [1, 2, 4, 8]},
        "patch_size": {"choice": [64, 96, 128]},
        "width": 32,
    }
)


def gpu(free_gib: float) -> CudaDevice:
    return CudaDevice(name="GPU", memory_gib=80, free_gib=free_gib, capability=(9, 0), kernels=True)


def cubes(parameters: Mapping[str, Any]) -> float:
    """2 GiB for a patch of 64."""
    return parameters["batch_size"] * (parameters["patch_size"] / 64) ** 3 * 2 * parameters["width"] / 32


def test_estimates_are_asked_for_beside_the_search_until_it_ends() -> None:
    asked: list[float] = []
    all_asked = Event()

    def estimate(parameters: Mapping[str, Any]) -> float:
        asked.append(cubes(parameters))
        if len(asked) == 9 + 12:
            all_asked.set()
        return asked[-1]

    with looking_ahead(estimate, SPACE, {}):
        assert all_asked.wait(20)
    assert max(asked) == 128

    slow = Event()

    def estimate_slowly(parameters: Mapping[str, Any]) -> float:
        slow.set()
        asked.append(0.0)
        time.sleep(0.2)
        return cubes(parameters)

    asked.clear()
    with looking_ahead(estimate_slowly, SPACE, {}):
        assert slow.wait(20)
    assert len(asked) <= 2  # of 21


@pytest.mark.parametrize(
    ("limit", "largest"),
    [
        (200, 8 * 8 * 2),  # the whole space fits
        (70, 4 * 8 * 2),  # batch 4 of 128; batch 8 of 96 takes 54
        (60, 8 * 27 / 8 * 2),
        (1.9, None),
    ],
)
def test_the_largest_that_fits_is_found_among_all_combinations(limit: float, largest: float | None) -> None:
    assert largest_that_fits(SPACE, {"batch_size": 1}, cubes, limit_gib=limit) == largest


def test_only_parameters_that_tell_are_combined() -> None:
    asked = []

    def estimate(parameters: Mapping[str, Any]) -> float:
        asked.append(parameters)
        return cubes(parameters)

    largest_that_fits(SPACE, {}, estimate, limit_gib=100)
    assert len(asked) == (2 + 4 + 3) + 4 * 3


def test_a_share_is_of_what_is_free_on_the_fullest_device() -> None:
    devices = [gpu(79), gpu(40)]
    assert memory_of_share(devices, 0.5) == pytest.approx(USABLE * 40 / 2 - CONTEXT_GIB)
    assert memory_of_share(devices, 2) == memory_of_share(devices, 1) == pytest.approx(USABLE * 40 - CONTEXT_GIB)
    assert memory_of_share([gpu(0.1)], 1) == 0


@pytest.mark.parametrize(
    ("need", "free", "most", "share_"),
    [
        (16.0, 79, 16, 1 / 4),  # 75 / 4 - 0.6 = 18.2
        (20.0, 79, 16, 1 / 3),
        (0.5, 79, 16, 1 / 4),  # more would only take turns
        (0.5, 79, 3, 1 / 3),  # cores for three
        (16.0, 40, 16, 1 / 2),  # somebody else's memory is left to them
        (60.0, 79, 16, 1.0),
        (90.0, 79, 16, 1.0),  # nothing fits: each is turned away by its estimate
    ],
)
def test_as_many_share_a_gpu_as_the_largest_leaves_room_for(need: float, free: float, most: int, share_: float) -> None:
    assert gpus_per_trial([gpu(free)], space=SPACE, default={}, estimate=lambda p: need, most=most) == share_


def test_the_whole_gpu_where_memory_can_not_be_estimated() -> None:
    assert gpus_per_trial([gpu(79)], space=SPACE, default={}, estimate=lambda p: None, most=16) == 1


def config(**resources: Any) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "name": "toy",
            "trainable": "trainables.toy:ToyRun",
            "space": {"batch_size": {"choice": [1, 2, 4]}, "patch_size": {"choice": [64, 128]}},
            "budget": {"unit": "steps", "maximum": 900},
            "search": {"trials": 4},
            "resources": resources,
        }
    )


def cluster(*, local: bool = True, **node: float) -> Cluster:
    return Cluster(dashboard=None, nodes=(Node(name="node0", **node),), local=local)


def test_auto_becomes_a_fraction_and_the_memory_that_goes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share.machine, "cuda_devices", lambda: (gpu(10.0),))  # the toy pretends to take up to 2 GiB
    found = share_of_trial(config(gpus_per_trial="auto"), cluster(cpus=8, gpus=2), data={})
    assert (found.cpus, found.gpus, found.device) == (1, 1 / 3, "cuda")  # 9.5 / 4 - 0.6 is less than 2
    assert found.memory_gib == pytest.approx(USABLE * 10 / 3 - CONTEXT_GIB)
    few_cores = share_of_trial(config(gpus_per_trial="auto"), cluster(cpus=4, gpus=2), data={})
    assert few_cores.gpus == 1 / 2


def test_trials_that_this_machine_can_not_hold_are_refused_before_the_data_are_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share.machine, "usable_cores", lambda: 4)
    monkeypatch.setattr(share.machine, "cuda_count", lambda: 1)
    monkeypatch.setattr(sweep, "prepare_sweep", lambda config, view: pytest.fail("data are prepared"))
    for asked, told in (
        ({"cpus_per_trial": 5}, "asks for 5 CPU, but the largest node, .*, has 4; lower cpus_per_trial, or connect"),
        ({"gpus_per_trial": 2}, "asks for 2 GPU, but the largest node, .*, has 1; lower gpus_per_trial, or connect"),
        ({"gpus_per_trial": 1, "workers_per_trial": 2}, "workers_per_trial: a trial asks for 2 workers .* holds 1"),
    ):
        with pytest.raises(ClusterError, match=told):
            run_sweep(config(**asked), runs=tmp_path)
    share.check_trials_fit_here(config(cpus_per_trial=4, gpus_per_trial="auto").resources)
    monkeypatch.setattr(share.machine, "cuda_count", lambda: 0)
    with pytest.raises(ClusterError, match="asks for 1 GPU"):
        share.check_trials_fit_here(config(gpus_per_trial="auto").resources)


def test_a_type_of_gpu_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share.machine, "cuda_devices", lambda: (gpu(79.0),))
    found = share_of_trial(config(gpus_per_trial=1, gpu_type="H100"), cluster(cpus=8, gpus=1), data={})
    assert found.resources == {"cpu": 1, "gpu": 1, "accelerator_type:H100": 0.001}
    with pytest.raises(ValueError, match="gpu_type: H100, but gpus_per_trial is 0"):
        config(gpu_type="H100")


def test_what_the_file_says_goes_before_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share.machine, "cuda_devices", lambda: (gpu(79.0),))
    found = share_of_trial(config(gpus_per_trial=0.5, memory_limit_gib=3), cluster(cpus=8, gpus=1), data={})
    assert (found.gpus, found.memory_gib) == (0.5, 3)


def test_without_a_gpu_memory_is_divided_among_the_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share.machine, "memory_gib", lambda: 24.0)
    found = share_of_trial(config(cpus_per_trial=2), cluster(cpus=8, gpus=0), data={})
    assert found.resources == {"cpu": 2, "gpu": 0}
    assert found.memory_gib == 6
    elsewhere = share_of_trial(config(cpus_per_trial=2), cluster(local=False, cpus=8, gpus=0), data={})
    assert elsewhere.memory_gib is None
