"""From a volume to its segmentation: sliding windows, test-time flips, and the largest component of each class."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import chain, combinations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.errors import SettingError
from trainables.precision import Precision
from trainables.single_sample import SingleSampleConvolution
from trainables.targets import Targets

_SPATIAL = (2, 3, 4)


def predict_encoded(
    network: nn.Module,
    image: NDArray[np.floating],
    *,
    patch_size: Sequence[int],
    targets: Targets,
    device: torch.device | str,
    precision: Precision,
    overlap: float = 0.5,
    flips: bool = False,
) -> NDArray[np.uint8]:
    """The segmentation of a preprocessed `image` (C, X, Y, Z) as `targets` encode it: (X, Y, Z) uint8.

    The network, on `device`, sees windows of `patch_size` voxels that overlap by the fraction `overlap`, one at a time;
    their logits are weighted by a Gaussian and added up in fp32. A volume smaller than the window is padded with zeros,
    and where one window holds it all, there is one forward pass and no blending. With `flips` the logits are the mean
    over the volume and its seven mirror images.

    Raises SettingError for an `overlap` outside 0 to 1.
    """
    if not 0 <= overlap < 1:
        raise SettingError(f"overlap: must be at least 0 and less than 1, got {overlap!r}")
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            volume = torch.from_numpy(np.array(image, np.float32)).to(device)[None]
            padding, inside = _padding(volume.shape[2:], patch_size)
            volume = F.pad(volume, padding)
            mirrored = _every_subset(_SPATIAL) if flips else [()]
            logits = sum(
                _logits(network, volume.flip(axes), patch_size, precision, overlap).flip(axes) for axes in mirrored
            )
            assert isinstance(logits, Tensor)
            return _encode(logits[0][(slice(None), *inside)], targets).cpu().numpy()
    finally:
        network.train(was_training)


def keep_largest_component(encoded: NDArray[np.uint8], targets: Targets) -> NDArray[np.uint8]:
    """A copy of `encoded` (X, Y, Z) in which every class or region is one piece at most, its largest.

    Voxels are connected across faces, edges and corners. What goes becomes background; a region's voxels stay in the
    other regions. Of equally large pieces the one that starts first in memory stays.
    """
    cleaned = encoded.copy()
    for index in range(len(targets.names)):
        bit = np.uint8(1 << index)
        members = cleaned & bit != 0 if targets.regions else cleaned == index + 1
        dropped = _all_but_largest(members)
        cleaned[dropped] = cleaned[dropped] & ~bit if targets.regions else 0
    return cleaned


def _logits(
    network: nn.Module,
    volume: Tensor,
    patch_size: Sequence[int],
    precision: Precision,
    overlap: float,
) -> Tensor:
    """Logits (1, K, X, Y, Z) in fp32 of a volume at least as large as the window."""

    def forward(windows: Tensor) -> Tensor:
        on_cpu = windows.device.type == "cpu"
        with precision.autocast(), SingleSampleConvolution() if on_cpu else nullcontext():
            logits: Tensor = network(windows)
        return logits.float()

    if tuple(volume.shape[2:]) == tuple(patch_size):
        return forward(volume)
    from monai.inferers.utils import sliding_window_inference

    blended = sliding_window_inference(volume, patch_size, 1, forward, overlap=overlap, mode="gaussian")
    assert isinstance(blended, Tensor)
    return blended


def _padding(shape: Sequence[int], patch_size: Sequence[int]) -> tuple[list[int], tuple[slice, ...]]:
    """Zeros on both sides up to the window, as torch's `pad` takes them (last axis first); where the volume then is."""
    missing = [max(window - size, 0) for size, window in zip(shape, patch_size, strict=True)]
    before = [extra // 2 for extra in missing]
    padding = [[first, extra - first] for first, extra in zip(before, missing, strict=True)]
    inside = tuple(slice(first, first + size) for first, size in zip(before, shape, strict=True))
    return list(chain.from_iterable(reversed(padding))), inside


def _encode(logits: Tensor, targets: Targets) -> Tensor:
    """(K, X, Y, Z) logits to uint8 class indices, or bit masks of the regions more likely than not."""
    if not targets.regions:
        return logits.argmax(0).to(torch.uint8)
    encoded = torch.zeros(logits.shape[1:], dtype=torch.uint8, device=logits.device)
    for index, of_region in enumerate(logits):
        encoded |= (of_region > 0).to(torch.uint8) << index
    return encoded


def _every_subset(axes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    return chain.from_iterable(combinations(axes, count) for count in range(len(axes) + 1))


def _all_but_largest(members: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the True voxels lie outside the largest connected piece."""
    from scipy import ndimage

    pieces, count = ndimage.label(members, structure=np.ones((3, 3, 3)))
    if count < 2:
        return np.zeros_like(members)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return members & (pieces != sizes.argmax())
