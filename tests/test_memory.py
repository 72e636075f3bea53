"""The memory estimate against bytes counted by hand, and against what a process really took."""

import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables import memory_limit
from trainables.errors import SettingError
from trainables.memory import MemoryEstimate, Shape, estimate_memory
from trainables.memory_limit import MemoryMeter, resident_gib, resident_peak_gib
from trainables.memory_trace import held_by_step
from trainables.protocol import Budget
from trainables.targets import Targets
from trainables.toy import ToyRun

TARGETS = Targets(names=("front", "back"), members=((1,), (2,)), regions=False)
SMALL = {"network": "unet3d", "width": 4, "levels": 2, "patch_size": 16}
GIB = 2**30


def estimate(*, device: str = "cpu", validation: Sequence[Shape] = (), **settings: Any) -> MemoryEstimate:
    return estimate_memory(
        SMALL | settings,
        spacing=(1.0, 1.0, 1.0),
        channels=1,
        targets=TARGETS,
        device=device,
        validation=validation,
    )


def test_optimizer_and_average_by_the_number_of_weights() -> None:
    plain = estimate(optimizer="sgd", weight_averaging=0.0, normalisation="none")
    assert plain.optimizer == plain.parameters
    assert estimate(optimizer="adam").optimizer == pytest.approx(2 * plain.optimizer, rel=0.02)
    assert estimate(optimizer="adamw", amsgrad=True).optimizer == pytest.approx(3 * plain.optimizer, rel=0.02)
    averaged = estimate(optimizer="sgd", weight_averaging=0.9, normalisation="none")
    assert averaged.parameters == 2 * plain.parameters


def test_activations_grow_with_the_batch() -> None:
    one, two, four = (estimate(batch_size=batch) for batch in (1, 2, 4))
    assert four.activations - two.activations == pytest.approx(2 * (two.activations - one.activations))
    assert two.inputs == 2 * one.inputs == 2 * 5 * 16**3 / GIB  # float32 image, uint8 label


def test_the_parts_add_up() -> None:
    found = estimate(validation=[(40, 40, 40)])
    parts = ("parameters", "gradients", "optimizer", "activations", "temporaries", "inputs", "evaluation")
    total = sum(getattr(found, part) for part in (*parts, "workspace", "baseline"))
    assert found.peak_gib == pytest.approx(total)


def test_half_precision_halves_what_convolutions_keep_on_a_gpu() -> None:
    full, half = (
        estimate(device="cuda", precision=precision, normalisation="batch", patch_size=64)
        for precision in ("fp32", "fp16")
    )
    assert 0.5 < half.activations / full.activations < 0.6  # the loss stays in fp32


def test_a_large_volume_makes_the_evaluation_the_peak() -> None:
    small, large = (estimate(validation=[shape]) for shape in ((20, 20, 16), (400, 400, 400)))
    assert (small.phase, large.phase) == ("training", "evaluation")
    assert small.evaluation == 0
    held = (1 + 3) * 4 * 400**3 / GIB  # the volume, and its logits; the windows are small beside them
    assert held < large.evaluation < 1.02 * held


def test_what_takes_no_more_memory_is_not_traced_again() -> None:
    first = estimate(dropout=0.1, noise=0.1, rotations=0.5, learning_rate=1e-3)
    misses = held_by_step.cache_info().misses
    assert estimate(dropout=0.37, noise=0.2, rotations=0.9, learning_rate=3e-4) == first
    assert held_by_step.cache_info().misses == misses


def test_a_broken_rule_is_told() -> None:
    with pytest.raises(SettingError, match="batch_size: must be at least 1, got 0"):
        estimate(batch_size=0)


def test_estimating_takes_no_memory() -> None:
    before = resident_peak_gib()
    assert estimate(patch_size=512, batch_size=8).peak_gib > 100
    assert resident_peak_gib() < before + 0.5


def test_a_toy_run_above_its_limit_ends_out_of_memory() -> None:
    parameters = {"batch_size": 2, "patch_size": 128}
    assert ToyRun.estimate_memory(parameters, data={}, device="cpu") == 1.0
    budget = Budget(unit="steps", maximum=1)
    run = ToyRun(parameters, data={"memory_limit_gib": 0.9}, budget=budget, seed=0, device="cpu")
    with pytest.raises(torch.OutOfMemoryError, match=r"takes 1.00 GiB, memory_limit_gib is 0.9"):
        run.advance(1)


def test_a_process_above_its_limit_is_out_of_memory() -> None:
    MemoryMeter(torch.device("cpu"), None).check()
    MemoryMeter(torch.device("cpu"), 1000).check()
    with pytest.raises(torch.OutOfMemoryError, match=r"the process took .* GiB of memory, memory_limit_gib is 0.01"):
        MemoryMeter(torch.device("cpu"), 0.01).check()


def test_the_peak_is_of_the_run_and_not_of_earlier_ones() -> None:
    filled = torch.ones(2**27)  # 0.5 GiB
    high = resident_peak_gib()
    del filled
    meter = MemoryMeter(torch.device("cpu"), None)
    assert meter.peak_gib < high - 0.4


def test_a_gpu_holds_the_next_batch_too_and_several_windows_in_an_evaluation() -> None:
    on_cpu, on_gpu = (estimate(device=device, batch_size=4, patch_size=32) for device in ("cpu", "cuda"))
    assert on_gpu.inputs == 3 * on_cpu.inputs  # as a graph reads it, too
    # On a CPU no more than 131,072 voxels at once go through the network: 4 windows of 32 x 32 x 32, on a GPU 16.
    of_cpu, of_gpu = (
        estimate(device=device, batch_size=8, patch_size=32, validation=[(32, 32, 32)], optimizer="sgd")
        for device in ("cpu", "cuda")
    )
    assert of_cpu.phase == "training"
    assert of_gpu.phase == "evaluation"


def test_what_a_run_frees_stays_with_the_process_until_the_next() -> None:
    MemoryMeter(torch.device("cpu"), None)
    before = resident_gib()
    tensors = [torch.ones(2**21) for _ in range(64)]  # 8 MiB each
    del tensors
    assert resident_gib() > before + 0.4
    MemoryMeter(torch.device("cpu"), None)
    assert resident_gib() < before + 0.1


def test_a_kernel_that_tells_no_peak_is_asked_in_another_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmRSS:\t  524288 kB\n")
    monkeypatch.setattr(memory_limit, "_STATUS", status)
    assert resident_gib() == 0.5
    assert resident_peak_gib() == pytest.approx(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
