"""From the probabilities that networks found, each on voxels of its own, to one label on the voxels of the file.

Probabilities are brought to the file's voxels, not labels: between two of the network's voxels a border then lies where
the probabilities meet, not half-way, and networks of different spacings can be averaged.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from trainables.grid import Box, Grid
from trainables.inference import encode
from trainables.largest_component import keep_largest_component
from trainables.resampling import resample_image
from trainables.targets import Targets

_LINEAR = (1, 1, 1)


@dataclass(frozen=True, kw_only=True)
class Part:
    """What the networks that share a preprocessing plan found together."""

    probabilities: Tensor
    """(K, X, Y, Z) fp32 on the voxels of `grid`: their sum, divided by the number of all networks."""

    grid: Grid
    share: float
    """How many of all networks these are, 0 to 1."""


def merge(parts: Sequence[Part], targets: Targets, *, largest_component: bool = False) -> np.ndarray:
    """The label that is most probable on the average of all networks: (X, Y, Z) uint8, encoded, in the file's axes.

    A class is taken where its probability is the highest, a region where it is above 1/2; what a crop cut off is
    background. Besides the parts it takes about 20 bytes a voxel of the file, however many classes there are.
    """
    grid = parts[0].grid
    if len(parts) == 1 and grid.shape == grid.cropped_shape:
        encoded = encode(parts[0].probabilities, targets, threshold=0.5).cpu().numpy()
    else:
        grid = replace(grid, box=_common_box([part.grid.box for part in parts]))
        encoded = _encode_on_file(parts, targets, grid)
    if largest_component:
        encoded = keep_largest_component(encoded, targets)
    return grid.restore(encoded)


def _encode_on_file(parts: Sequence[Part], targets: Targets, grid: Grid) -> np.ndarray:
    """Channel by channel: the file may have many more voxels than the networks, and there may be many channels."""
    encoded = np.zeros(grid.cropped_shape, np.uint8)
    if targets.regions:
        for region in range(targets.channels):
            encoded |= (_on_file(parts, region, grid) > 0.5).astype(np.uint8) << region
        return encoded
    highest = _on_file(parts, 0, grid, background=True)
    for channel in range(1, targets.channels):
        own = _on_file(parts, channel, grid)
        wins = own > highest
        encoded[wins] = channel
        highest[wins] = own[wins]
    return encoded


def _on_file(parts: Sequence[Part], channel: int, grid: Grid, *, background: bool = False) -> np.ndarray:
    """The probabilities of one channel, of all parts together, on the file's voxels in the box of `grid`."""
    total = np.zeros(grid.cropped_shape, np.float32)
    for part in parts:
        own = part.probabilities[channel : channel + 1].cpu().numpy()
        found = resample_image(own, part.grid.cropped_shape, _LINEAR)[0]
        inside = tuple(
            slice(start - first, end - first) for (start, end), (first, _) in zip(part.grid.box, grid.box, strict=True)
        )
        if background and found.shape != total.shape:  # outside its box a part says background
            total += part.share
            found = found - part.share
        total[inside] += found
    return total


def _common_box(boxes: Sequence[Box]) -> Box:
    x, y, z = ((min(start for start, _ in ends), max(end for _, end in ends)) for ends in zip(*boxes, strict=True))
    return x, y, z
