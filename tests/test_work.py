"""FLOPs of a step against multiplications counted by hand."""

import pytest
import torch

from trainables.networks import NetworkConfig, level_strides
from trainables.work import step_cost, training_step_flops


def _config(architecture: str, **settings: object) -> NetworkConfig:
    known = {"in_channels": 1, "out_channels": 2, "width": 4, "levels": 2, "strides": level_strides(2, (1, 1, 1))}
    return NetworkConfig(architecture=architecture, **{**known, **settings})  # type: ignore[arg-type]


def test_the_smallest_original_unet_by_hand() -> None:
    fine, coarse = 8**3, 4**3  # voxels
    first = 27 * 1 * 4 * fine  # multiplications of the only convolution whose input needs no gradient
    others = (
        27 * 4 * 8 * fine
        + 27 * (8 * 8 + 8 * 16) * coarse
        + 8 * 16 * 16 * coarse
        + 27 * (24 * 8 + 8 * 8) * fine
        + 8 * 2 * fine
    )
    # Forward, gradient of the weights, gradient of the input; two FLOPs a multiplication and addition.
    assert training_step_flops(_config("unet3d"), (8, 8, 8), 1) == 2 * (2 * first + 3 * others)


@pytest.mark.parametrize("architecture", ["compact_unet", "unet3d", "residual_unet", "dynunet"])
@pytest.mark.parametrize("normalisation", ["instance", "batch"])
def test_work_grows_with_batch_and_patch(architecture: str, normalisation: str) -> None:
    config = _config(architecture, levels=3, strides=level_strides(3, (1, 1, 1)), normalisation=normalisation)
    one = training_step_flops(config, (16, 16, 16), 1)
    assert training_step_flops(config, (16, 16, 16), 3) == 3 * one
    # Not quite eight times: torch counts nothing of what padding adds, so by voxels it is.
    assert training_step_flops(config, (32, 32, 32), 1) == 8 * one


def test_a_step_costs_what_its_budget_counts() -> None:
    config = _config("unet3d")
    assert step_cost("steps", config, (8, 8, 16), 3) == 1
    assert step_cost("voxels", config, (8, 8, 16), 3) == 3 * 8 * 8 * 16
    assert step_cost("flops", config, (8, 8, 16), 3) == training_step_flops(config, (8, 8, 16), 3)
    assert step_cost("seconds", config, (8, 8, 16), 3) is None  # only a clock can tell


def test_deep_supervision_costs_its_outputs() -> None:
    strides = level_strides(3, (1, 1, 1))
    plain, deep = (
        training_step_flops(_config("unet3d", levels=3, strides=strides, deep_supervision=on), (16, 16, 16), 1)
        for on in (False, True)
    )
    assert deep - plain == 2 * 3 * (16 * 2 * 8**3)  # one more 1x1x1 convolution at half resolution


def test_the_original_unet_at_the_size_that_the_facts_give() -> None:
    config = _config("unet3d", width=32, levels=4, strides=level_strides(4, (1, 1, 1)))
    assert training_step_flops(config, (128, 128, 128), 2) == pytest.approx(23.4e12, rel=0.01)


def test_counting_takes_no_memory_and_no_random_numbers() -> None:
    state = torch.get_rng_state()
    assert training_step_flops(_config("compact_unet"), (4096, 4096, 4096), 8) > 1e15
    assert torch.equal(torch.get_rng_state(), state)
