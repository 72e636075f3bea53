"""Random changes of a batch of patches, so that a few cases teach more: all of a batch at once, on any device.

What happens to each patch is drawn on the host from a numpy generator, so that nothing makes the host wait for the
device; the changes themselves are made where the patches are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from trainables.errors import SettingError
from trainables.warping import random_maps, warp

AXES = "xyz"
SPACING_TOLERANCE = 0.05
"""Axes whose spacings differ by up to this share count as equal: a rotation changes shapes by no more than that."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How strongly patches are changed; 0, or no axes, leaves a change out. Raises SettingError naming the setting."""

    flips: str = ""
    """Axes along which a patch is mirrored, each with probability 1/2: letters out of xyz."""

    rotations: float = 0.0
    """Probability of a rotation by 90, 180 or 270 degrees in each of the `rotation_planes`."""

    tilt: float = 0.0
    """A patch is turned by up to this many degrees in each plane; see `trainables.warping`."""

    zoom: float = 0.0
    """A patch is stretched along each axis by up to about this share."""

    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """mm between the voxels along x, y, z."""

    intensity_scale: float = 0.0
    """Each channel is multiplied by a number uniform from 1 less this to 1 plus this."""

    intensity_shift: float = 0.0
    """To each channel is added a number uniform up to this either way, in units of the normalised image."""

    noise: float = 0.0
    """To each channel is added Gaussian noise, its standard deviation uniform from 0 to this."""

    def __post_init__(self) -> None:
        check_flips(self.flips)
        if not 0 <= self.rotations <= 1:
            raise SettingError(f"rotations: is a probability, from 0 to 1, got {self.rotations:g}")
        if not 0 <= self.tilt <= 180:
            raise SettingError(f"tilt: must be from 0 (off) to 180 degrees, got {self.tilt:g}")
        if not 0 <= self.zoom <= 1:
            raise SettingError(f"zoom: must be from 0 (off) to 1, got {self.zoom:g}")
        if not 0 <= self.intensity_scale <= 1:
            raise SettingError(f"intensity_scale: must be from 0 (off) to 1, got {self.intensity_scale:g}")
        for key in ("intensity_shift", "noise"):
            if not 0 <= getattr(self, key) < np.inf:
                raise SettingError(f"{key}: must be 0 (off) or more, got {getattr(self, key):g}")

    def __call__(self, image: Tensor, label: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """`image` (B, C, X, Y, Z) float32 and `label` (B, X, Y, Z), each patch changed in its own way.

        What is given is overwritten.
        """
        batch, channels = image.shape[:2]
        for axis in range(3):
            if AXES[axis] in self.flips:
                _change(image, label, rng.random(batch) < 0.5, partial(torch.flip, dims=(axis - 3,)))
        for plane in rotation_planes(self.spacing, label.shape[1:]) if self.rotations else ():
            axes = (plane[0] - 3, plane[1] - 3)
            turns = rng.integers(1, 4, batch) * (rng.random(batch) < self.rotations)
            for count in (1, 2, 3):
                _change(image, label, turns == count, partial(torch.rot90, k=count, dims=axes))
        if self.tilt or self.zoom:
            maps = random_maps(rng, batch, tilt=self.tilt, zoom=self.zoom, spacing=self.spacing)
            image, label = warp(image, label, maps, self.spacing)

        def each_channel(low: float, high: float) -> Tensor:
            drawn = torch.from_numpy(rng.uniform(low, high, (batch, channels, 1, 1, 1)).astype(np.float32))
            return drawn.to(image.device, non_blocking=True)

        if self.intensity_scale:
            image *= each_channel(1 - self.intensity_scale, 1 + self.intensity_scale)
        if self.intensity_shift:
            image += each_channel(-self.intensity_shift, self.intensity_shift)
        if self.noise:
            generator = torch.Generator(image.device).manual_seed(int(rng.integers(2**62)))
            noise = torch.randn(image.shape, generator=generator, device=image.device)
            image.addcmul_(noise, each_channel(0, self.noise))
        return image, label


def check_flips(flips: str) -> None:
    """Raises SettingError unless `flips` names axes, each once, or none."""
    if not isinstance(flips, str) or set(flips) - set(AXES) or len(set(flips)) < len(flips):
        raise SettingError(f"flips: must be different letters out of {AXES}, or empty, got {flips!r}")


def rotation_planes(spacing: Sequence[float], patch_size: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """The pairs of axes in which patches may be rotated by 90 degrees: of equal spacing (mm) and equal patch size."""
    return tuple(
        (a, b)
        for a, b in combinations(range(3), 2)
        if patch_size[a] == patch_size[b]
        and max(spacing[a], spacing[b]) <= (1 + SPACING_TOLERANCE) * min(spacing[a], spacing[b])
    )


def _change(image: Tensor, label: Tensor, chosen: np.ndarray, change: Callable[[Tensor], Tensor]) -> None:
    """Apply `change`, which knows axes by their distance from the last, to the `chosen` patches (B,) of a batch."""
    index = torch.from_numpy(np.flatnonzero(chosen)).to(image.device, non_blocking=True)
    if len(index):
        image[index] = change(image[index])
        label[index] = change(label[index])
