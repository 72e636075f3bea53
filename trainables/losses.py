"""What training makes small: the Dice loss with squared denominators, alone or with cross entropy."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

from trainables.errors import SettingError

LOSSES = ("dice", "dice_ce")
SMOOTH = 1e-5
"""Voxels added above and below in the Dice: a class that is neither there nor predicted costs nothing."""


class SegmentationLoss:
    """The loss of a network's logits against encoded labels.

    The Dice loss of a class is 1 - 2 Σ y p / (Σ y² + Σ p²) (Milletari et al. 2016; so used by Yang 2020): p after
    softmax, for regions after sigmoid; sums over the voxels of the whole batch, so that a class needs to be in one of
    its patches only. The mean is taken over the foreground classes; background is left out (it is in the cross
    entropy).
    """

    def __init__(self, kind: str, regions: bool) -> None:
        """Raises SettingError for another `kind` than these.

        Args:
            kind: `dice`, or `dice_ce`, the sum of Dice and (for regions binary) cross entropy averaged over the voxels.
            regions: whether the target holds a bit mask (bit i: region i), not a class index with 0 for background.
        """
        if kind not in LOSSES:
            raise SettingError(f"loss: must be one of {', '.join(LOSSES)}, got {kind!r}")
        self.kind = kind
        self.regions = regions

    def __call__(self, logits: Tensor | Sequence[Tensor], target: Tensor) -> Tensor:
        """Logits (B, K, X, Y, Z), or a list of them at halving resolutions, finest first; target (B, X, Y, Z) uint8.

        Returns a float32 scalar. With a list, the sum of the levels' losses weighted 1, 1/2, 1/4, ..., the weights made
        to sum to one, each level against the target's every second (fourth, ...) voxel.
        """
        if isinstance(logits, Tensor):
            return self._of_level(logits, target)
        weights = [0.5**level for level in range(len(logits))]
        losses = [
            weight * self._of_level(level, _thin(target, level.shape[2:]))
            for weight, level in zip(weights, logits, strict=True)
        ]
        return torch.stack(losses).sum() / sum(weights)

    def _of_level(self, logits: Tensor, target: Tensor) -> Tensor:
        # Half precision overflows in the sums at 65,504.
        with torch.autocast(logits.device.type, enabled=False):
            logits = logits.float()
            return self._of_regions(logits, target) if self.regions else self._of_classes(logits, target)

    def _of_classes(self, logits: Tensor, target: Tensor) -> Tensor:
        classes = torch.arange(logits.shape[1], dtype=torch.uint8, device=logits.device)
        truth = target[:, None] == classes.view(-1, 1, 1, 1)
        log_probability = F.log_softmax(logits, dim=1)
        dice = _dice_loss(log_probability[:, 1:].exp(), truth[:, 1:])
        if self.kind == "dice":
            return dice
        return dice - (log_probability * truth).sum() / target.numel()

    def _of_regions(self, logits: Tensor, target: Tensor) -> Tensor:
        bits = torch.arange(logits.shape[1], dtype=torch.uint8, device=logits.device)
        truth = (target[:, None] >> bits.view(-1, 1, 1, 1) & 1).bool()
        dice = _dice_loss(logits.sigmoid(), truth)
        if self.kind == "dice":
            return dice
        return dice + F.binary_cross_entropy_with_logits(logits, truth.float())


def _dice_loss(probability: Tensor, truth: Tensor) -> Tensor:
    """Mean over classes; `probability` float32 and `truth` bool, both (B, K, X, Y, Z)."""
    over = (0, 2, 3, 4)
    overlap = (probability * truth).sum(over)
    total = truth.sum(over) + probability.square().sum(over)
    return (1 - (2 * overlap + SMOOTH) / (total + SMOOTH)).mean()


def _thin(target: Tensor, shape: Sequence[int]) -> Tensor:
    """Every n-th voxel of `target` (B, X, Y, Z) along each axis, so that `shape` is left."""
    if tuple(shape) == tuple(target.shape[1:]):
        return target
    x, y, z = (whole // part for whole, part in zip(target.shape[1:], shape, strict=True))
    return target[:, ::x, ::y, ::z]
