"""How machines are divided among trials."""

import pytest

from tuner.machine import CudaDevice
from tuner.slots import plan_slots


def gpu(memory_gib: float) -> CudaDevice:
    return CudaDevice(name="GPU", memory_gib=memory_gib, free_gib=memory_gib, capability=(9, 0), kernels=True)


@pytest.mark.parametrize(
    ("trials", "cores", "memory_gib", "count", "cpus"),
    [
        (16, 2, 24, 2, 1),
        (16, 1, 24, 1, 1),
        (16, 16, 64, 4, 4),
        (200, 16, 64, 16, 1),
        (16, 2, 3, 1, 2),
        (1, 8, 64, 2, 4),
    ],
)
def test_cpu(trials: int, cores: int, memory_gib: float, count: int, cpus: int) -> None:
    slots = plan_slots(trials=trials, cores=cores, memory_gib=memory_gib, devices=())
    assert (slots.count, slots.cpus, slots.gpus, slots.device) == (count, cpus, 0, "cpu")
    assert slots.count * slots.cpus <= cores
    assert slots.count * (slots.memory_gib + 1) <= 0.8 * memory_gib + 0.2


def test_a_trial_a_gpu() -> None:
    slots = plan_slots(trials=16, cores=16, memory_gib=128, devices=(gpu(80), gpu(40)))
    assert (slots.count, slots.cpus, slots.gpus, slots.device) == (2, 8, 1, "cuda")
    assert slots.memory_gib == 32


def test_no_more_slots_than_cores() -> None:
    slots = plan_slots(trials=16, cores=3, memory_gib=128, devices=(gpu(80),) * 8)
    assert (slots.count, slots.cpus, slots.gpus) == (3, 1, 1)
