"""Losses against the formulas of their sources, written out in numpy."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.errors import SettingError
from trainables.losses import SegmentationLoss

SHAPE = (2, 4, 8, 6)


def _logits(channels: int, scale: float = 2.0) -> Tensor:
    return scale * torch.randn(2, channels, *SHAPE[1:], generator=torch.Generator().manual_seed(0))


def _target(high: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, high, SHAPE, dtype=torch.uint8, generator=generator)


def _dice_loss(probability: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """1 - 2 Σ y p / (Σ y² + Σ p²) over one class's voxels of the whole batch."""
    y = truth.astype(float)
    return float(1 - 2 * (y * probability).sum() / ((y**2).sum() + (probability**2).sum()))


def _softmax(logits: Tensor) -> NDArray[np.float64]:
    powers = np.exp(logits.double().numpy())
    return powers / powers.sum(axis=1, keepdims=True)


def test_dice_of_classes_is_the_mean_over_foreground() -> None:
    logits, target = _logits(4), _target(4)
    p = _softmax(logits)
    expected = np.mean([_dice_loss(p[:, k], target.numpy() == k) for k in (1, 2, 3)])
    loss = SegmentationLoss("dice", regions=False)(logits, target)
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    assert loss.dtype == torch.float32
    assert loss.shape == ()


def test_cross_entropy_is_added_over_all_classes() -> None:
    logits, target = _logits(4), _target(4)
    p = _softmax(logits)
    of_truth = np.take_along_axis(p, target.numpy()[:, None].astype(int), axis=1)
    dice = SegmentationLoss("dice", regions=False)(logits, target).item()
    loss = SegmentationLoss("dice_ce", regions=False)(logits, target).item()
    assert loss == pytest.approx(dice - np.log(of_truth).mean(), abs=1e-5)


def test_regions_overlap_and_have_a_sigmoid_each() -> None:
    logits, target = _logits(3), _target(8)
    p = 1 / (1 + np.exp(-logits.double().numpy()))
    truth = [(target.numpy() >> bit) & 1 == 1 for bit in range(3)]
    dice = np.mean([_dice_loss(p[:, bit], truth[bit]) for bit in range(3)])
    assert SegmentationLoss("dice", regions=True)(logits, target).item() == pytest.approx(dice, abs=1e-6)

    y = np.stack(truth, axis=1)
    entropy = -np.where(y, np.log(p), np.log(1 - p)).mean()
    assert SegmentationLoss("dice_ce", regions=True)(logits, target).item() == pytest.approx(dice + entropy, abs=1e-5)


def test_all_eight_regions_of_a_byte() -> None:
    target = torch.full(SHAPE, 0b1000_0001, dtype=torch.uint8)
    right = torch.full((2, 8, *SHAPE[1:]), -20.0)
    right[:, [0, 7]] = 20.0
    assert SegmentationLoss("dice_ce", regions=True)(right, target).item() == pytest.approx(0, abs=1e-6)
    assert SegmentationLoss("dice_ce", regions=True)(-right, target).item() > 10


@pytest.mark.parametrize("regions", [False, True])
def test_absent_and_not_predicted_costs_nothing(regions: bool) -> None:
    logits = torch.full((2, 3, *SHAPE[1:]), -60.0)
    if not regions:
        logits[:, 0] = 60.0
    loss = SegmentationLoss("dice_ce", regions)(logits.requires_grad_(), torch.zeros(SHAPE, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_a_class_in_one_patch_of_the_batch_is_enough() -> None:
    target = torch.zeros(SHAPE, dtype=torch.uint8)
    target[0, :2] = 1
    sure = 20.0 * (2.0 * torch.nn.functional.one_hot(target.long(), 2).movedim(-1, 1) - 1)
    assert SegmentationLoss("dice", regions=False)(sure, target).item() == pytest.approx(0, abs=1e-6)


def test_sums_that_fp16_can_not_hold_are_taken_in_fp32() -> None:
    target = torch.ones((1, 48, 48, 48), dtype=torch.uint8)  # 110,592 voxels, more than 65,504
    logits = torch.stack([torch.full_like(target, -4, dtype=torch.float16), torch.full_like(target, 4) + 0.0], dim=1)
    p = 1 / (1 + np.exp(-8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = SegmentationLoss("dice_ce", regions=False)(logits.half(), target)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(1 - 2 * p / (1 + p**2) - np.log(p), abs=1e-6)


@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("kind", ["dice", "dice_ce"])
def test_gradients_agree_with_finite_differences(kind: str, regions: bool) -> None:
    loss = SegmentationLoss(kind, regions)
    logits, target = _logits(3, scale=1.0).requires_grad_(), _target(3)
    loss(logits, target).backward()
    assert logits.grad is not None
    direction = torch.randn(logits.shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        step = 1e-2
        ahead, behind = loss(logits + step * direction, target), loss(logits - step * direction, target)
    assert ((ahead - behind) / (2 * step)).item() == pytest.approx((logits.grad * direction).sum().item(), rel=0.02)


def test_deep_supervision_weighs_halving_levels_against_thinned_targets() -> None:
    target = _target(3)
    levels = [_logits(3), _logits(3)[:, :, ::2, ::2], _logits(3)[:, :, ::4, ::4, ::2].contiguous()]
    loss = SegmentationLoss("dice_ce", regions=False)
    parts = [loss(levels[0], target), loss(levels[1], target[:, ::2, ::2]), loss(levels[2], target[:, ::4, ::4, ::2])]
    expected = (parts[0] + parts[1] / 2 + parts[2] / 4) / 1.75
    assert loss(levels, target).item() == pytest.approx(expected.item(), abs=1e-6)
    # The thinned target is what torch calls nearest.
    small = torch.nn.functional.interpolate(target[:, None], size=(1, 2, 3), mode="nearest")[:, 0]
    assert torch.equal(small, target[:, ::4, ::4, ::2])


def test_an_unknown_loss() -> None:
    with pytest.raises(SettingError) as error:
        SegmentationLoss("focal", regions=False)
    assert str(error.value) == "loss: must be one of dice, dice_ce, got 'focal'"
