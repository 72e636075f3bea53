"""From a volume to its segmentation: sliding windows, test-time flips, and the largest component of each class."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
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

Image = NDArray[np.floating] | Tensor
"""(C, X, Y, Z), on the host, or already on the device."""

_SPATIAL = (2, 3, 4)


def predict_encoded(
    network: nn.Module,
    image: Image,
    *,
    patch_size: Sequence[int],
    targets: Targets,
    device: torch.device | str,
    precision: Precision,
    overlap: float = 0.5,
    at_once: int = 1,
    flips: bool = False,
) -> NDArray[np.uint8]:
    """The segmentation of a preprocessed `image` (C, X, Y, Z) as `targets` encode it: (X, Y, Z) uint8.

    The network, on `device`, sees windows of `patch_size` voxels that overlap by the fraction `overlap`, `at_once` of
    them at a time; their logits are weighted by a Gaussian and added up in fp32. A volume smaller than the window is
    padded with zeros, and where one window holds it all, there is one forward pass and no blending. With `flips` the
    logits are the mean over the volume and its seven mirror images.

    Raises SettingError for an `overlap` outside 0 to 1.
    """
    if not 0 <= overlap < 1:
        raise SettingError(f"overlap: must be at least 0 and less than 1, got {overlap!r}")
    with _inference(network):
        padding, inside = _padding(image.shape[1:], patch_size)
        volume = F.pad(_to_device(image, device)[None], padding)
        mirrored = _every_subset(_SPATIAL) if flips else [()]
        logits = sum(
            _logits(network, volume.flip(axes), patch_size, precision, overlap, at_once).flip(axes) for axes in mirrored
        )
        assert isinstance(logits, Tensor)
        return _encode(logits[0][(slice(None), *inside)], targets).cpu().numpy()


def predict_together(
    network: nn.Module,
    images: Sequence[Image],
    *,
    window: Sequence[int],
    targets: Targets,
    device: torch.device | str,
    precision: Precision,
) -> list[NDArray[np.uint8]]:
    """What `predict_encoded` says of each of `images`, none larger than `window`, from one forward pass of them all."""
    with _inference(network):
        placed = [_padding(image.shape[1:], window) for image in images]
        batch = torch.stack(
            [F.pad(_to_device(image, device), padding) for image, (padding, _) in zip(images, placed, strict=True)]
        )
        encoded = [
            _encode(logits[(slice(None), *inside)], targets)
            for logits, (_, inside) in zip(_forward(network, batch, precision), placed, strict=True)
        ]
        return [prediction.cpu().numpy() for prediction in encoded]


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


@contextmanager
def _inference(network: nn.Module) -> Iterator[None]:
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        network.train(was_training)


def _to_device(image: Image, device: torch.device | str) -> Tensor:
    """`image` in fp32; an array may be a read-only map of a file, which torch must not take as it is."""
    if isinstance(image, Tensor):
        return image.to(device, torch.float32)
    return torch.from_numpy(np.array(image, np.float32)).to(device)


def _forward(network: nn.Module, windows: Tensor, precision: Precision) -> Tensor:
    """Logits (B, K, X, Y, Z) in fp32."""
    on_cpu = windows.device.type == "cpu"
    with precision.autocast(), SingleSampleConvolution() if on_cpu else nullcontext():
        logits: Tensor = network(windows)
    return logits.float()


def _logits(
    network: nn.Module,
    volume: Tensor,
    patch_size: Sequence[int],
    precision: Precision,
    overlap: float,
    at_once: int,
) -> Tensor:
    """Logits (1, K, X, Y, Z) in fp32 of a volume at least as large as the window."""
    forward = partial(_forward, network, precision=precision)
    if tuple(volume.shape[2:]) == tuple(patch_size):
        return forward(volume)
    from monai.inferers.utils import sliding_window_inference

    blended = sliding_window_inference(volume, patch_size, at_once, forward, overlap=overlap, mode="gaussian")
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
