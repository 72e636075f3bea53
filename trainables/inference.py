"""From volumes to their segmentations by sliding windows."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from itertools import chain
from math import prod
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.precision import Precision
from trainables.single_sample import SingleSampleConvolution
from trainables.targets import Targets
from trainables.windows import Window, window_starts

Image = NDArray[np.floating] | Tensor
"""(C, X, Y, Z), on the host, or already on the device."""

_SIGMA = 0.125
"""Of the Gaussian that weights a window's voxels, in lengths of the window (nnU-Net's)."""

_LEAST_WEIGHT = 1e-3
_FLOAT = 4
_SLAB = 2**24  # numbers

Result = TypeVar("Result")


def segment(
    network: nn.Module,
    images: Iterable[Image],
    *,
    window: Window,
    targets: Targets,
    device: torch.device | str,
    precision: Precision,
    overlap: float = 0.25,
    at_once: int = 1,
    passed: Callable[[], object] = lambda: None,
) -> list[NDArray[np.uint8]]:
    """The segmentation of each preprocessed image (C, X, Y, Z), as `targets` encode it: (X, Y, Z) uint8.

    The network, on `device`, sees windows of `window` voxels that overlap by at least the fraction `overlap`, `at_once`
    of them at a time, of one image or of several; their logits are weighted by a Gaussian and added up in fp32. An
    image smaller than the window is padded with zeros; one that a single window holds is not weighted. Each image's
    result is the same up to rounding whichever others there are. `passed` is called after each pass of windows.

    Raises SettingError for an `overlap` outside 0 to 1.
    """
    return _each(
        network,
        images,
        lambda volume: encode(volume.logits(), targets).cpu().numpy(),
        window=window,
        device=device,
        precision=precision,
        overlap=overlap,
        at_once=at_once,
        passed=passed,
    )


def probabilities(
    network: nn.Module,
    image: Image,
    *,
    window: Window,
    targets: Targets,
    device: torch.device | str,
    precision: Precision,
    overlap: float = 0.25,
    at_once: int = 1,
) -> Tensor:
    """How probable `network` finds each channel of `targets` in a preprocessed image: (K, X, Y, Z) in fp32.

    Windows as in `segment`, of whose logits this is the softmax, or the sigmoid where `targets` are regions. It lies on
    the device where there is room. Raises SettingError as `segment` does.
    """
    (found,) = _each(
        network,
        [image],
        lambda volume: volume.probabilities(regions=targets.regions),
        window=window,
        device=device,
        precision=precision,
        overlap=overlap,
        at_once=at_once,
    )
    return found


def encode(scores: Tensor, targets: Targets, *, threshold: float = 0.0) -> Tensor:
    """Scores (K, X, Y, Z) to uint8: the index of the highest, or a bit for each region whose score is past `threshold`.

    The scores of a voxel may have any positive factor in common; `threshold` is 0 for logits, 1/2 for probabilities.
    """
    if not targets.regions:
        return scores.max(0).indices.to(torch.uint8)  # the same as argmax, in a tenth of the time on a CPU
    encoded = torch.zeros(scores.shape[1:], dtype=torch.uint8, device=scores.device)
    for index, of_region in enumerate(scores):
        encoded |= (of_region > threshold).to(torch.uint8) << index
    return encoded


def _each(
    network: nn.Module,
    images: Iterable[Image],
    finish: Callable[["_Volume"], Result],
    *,
    window: Window,
    device: torch.device | str,
    precision: Precision,
    overlap: float,
    at_once: int,
    passed: Callable[[], object] = lambda: None,
) -> list[Result]:
    """What `finish` makes of each image once all its windows went through the network."""
    found = []
    with _inference(network):
        volumes = (_Volume(image, window, overlap, device) for image in images)
        for batch in _batches(volumes, at_once):
            crops = torch.stack([volume.crop(start) for volume, start in batch])
            for (volume, start), logits in zip(batch, _forward(network, crops, precision), strict=True):
                volume.add(start, logits)
                if start == volume.starts[-1]:
                    found.append(finish(volume))
            passed()
            # A large volume is gone before the next one's first windows go through the network.
            del batch, crops, volume, logits
    return found


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


class _Volume:
    """An image on its way through the network: padded to the window, and the logits of its windows as they add up."""

    def __init__(self, image: Image, window: Window, overlap: float, device: torch.device | str) -> None:
        padding, self._inside = _padding(image.shape[1:], window)
        self._image = F.pad(_to_device(image, device), padding)
        self._window = window
        self.starts = window_starts(image.shape[1:], window, overlap)
        self._logits: Tensor | None = None

    def crop(self, start: Window) -> Tensor:
        """The window (C, X, Y, Z) whose first voxel is `start`."""
        return self._image[_box(start, self._window)]

    def add(self, start: Window, logits: Tensor) -> None:
        """Add the `logits` (K, X, Y, Z) of the window at `start`."""
        if len(self.starts) == 1:
            self._logits = logits
            return
        if self._logits is None:
            shape = (len(logits), *self._image.shape[1:])
            self._logits = torch.zeros(shape, device=_room_for(_FLOAT * prod(shape), logits.device))
        weighted = logits * _weights(self._window, logits.device)
        self._logits[_box(start, self._window)] += weighted.to(self._logits.device)

    def logits(self) -> Tensor:
        """(K, X, Y, Z) of the image without its padding, in fp32; each voxel's times a positive weight of its own."""
        assert self._logits is not None
        return self._logits[(slice(None), *self._inside)]

    def probabilities(self, *, regions: bool) -> Tensor:
        """(K, X, Y, Z) of the image without its padding, in fp32. The logits are gone then: they lie in their place."""
        logits = self.logits()
        whole = len(self.starts) == 1
        weights = None if whole else self._weight_sums(logits.device)[self._inside]
        rows = max(1, _SLAB // max(1, logits[:, 0].numel()))  # slab by slab: a second array as large may not fit
        for first in range(0, logits.shape[1], rows):
            slab = logits[:, first : first + rows]
            if weights is not None:
                slab /= weights[first : first + rows]
            slab.copy_(slab.sigmoid() if regions else slab.softmax(0))
        return logits

    def _weight_sums(self, device: torch.device) -> Tensor:
        sums = torch.zeros(self._image.shape[1:], device=device)
        for start in self.starts:
            sums[_box(start, self._window)[1:]] += _weights(self._window, device)
        return sums


def _room_for(size: int, device: torch.device) -> torch.device:
    """Where `size` bytes are put: on the device, unless they would fill more than half of what is free there."""
    if device.type != "cuda":
        return device
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return device if size <= free / 2 else torch.device("cpu")


def _batches(volumes: Iterable[_Volume], at_once: int) -> Iterator[list[tuple[_Volume, Window]]]:
    """All windows in batches of `at_once`. A volume of so many shares none with others: large ones are held singly."""
    batch: list[tuple[_Volume, Window]] = []
    for volume in volumes:
        windows = [(volume, start) for start in volume.starts]
        alone = len(windows) >= at_once
        del volume  # what is done with must not be held here
        if alone and batch:
            yield _handed_over(batch)
        while windows:
            count = at_once - len(batch)
            batch += windows[:count]
            del windows[:count]
            if len(batch) == at_once or alone:
                yield _handed_over(batch)
    if batch:
        yield _handed_over(batch)


def _handed_over(batch: list[tuple[_Volume, Window]]) -> list[tuple[_Volume, Window]]:
    """The batch, of which the list given then holds nothing any more."""
    given = batch.copy()
    batch.clear()
    return given


def _padding(shape: Sequence[int], window: Window) -> tuple[list[int], tuple[slice, ...]]:
    """Zeros on both sides up to the window, as torch's `pad` takes them (last axis first); where the volume then is."""
    missing = [max(part - size, 0) for size, part in zip(shape, window, strict=True)]
    before = [extra // 2 for extra in missing]
    padding = [[first, extra - first] for first, extra in zip(before, missing, strict=True)]
    inside = tuple(slice(first, first + size) for first, size in zip(before, shape, strict=True))
    return list(chain.from_iterable(reversed(padding))), inside


def _box(start: Window, window: Window) -> tuple[slice, ...]:
    return slice(None), *(slice(first, first + size) for first, size in zip(start, window, strict=True))


@lru_cache(maxsize=8)
def _weights(window: Window, device: torch.device) -> Tensor:
    """(X, Y, Z), from about 1 in the middle of the window to `_LEAST_WEIGHT` in its corners."""
    x, y, z = (torch.exp(-(((torch.arange(size) - (size - 1) / 2) / (_SIGMA * size)) ** 2) / 2) for size in window)
    return (x[:, None, None] * y[:, None] * z).clamp(min=_LEAST_WEIGHT).to(device)
