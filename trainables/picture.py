"""A picture of what a network found in a volume: three planes, the true label above, the prediction below."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainables.targets import Targets

SIDE = 192
"""Pixels of a tile's longer side at most."""

OPACITY = 0.45

COLOURS = np.array(
    [[230, 70, 60], [70, 160, 240], [250, 200, 50], [90, 200, 110], [190, 110, 230], [250, 150, 60], [80, 215, 215]],
    dtype=np.float32,
)
"""Red, green, blue of each class or region, again from the first where there are more."""

COLOUR_NAMES = ("red", "blue", "yellow", "green", "violet", "orange", "turquoise")


def overlay(
    image: NDArray[np.floating],
    truth: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    *,
    targets: Targets,
    spacing: Sequence[float],
    through: Sequence[int] | None = None,
    quality: int = 85,
) -> bytes:
    """The picture as a JPEG: sagittal, coronal and axial planes.

    Args:
        image: (channels, x, y, z) in RAS orientation; its first channel is shown.
        truth, predicted: (x, y, z), encoded by `targets`.
        spacing: mm of a voxel along x, y, z: pixels are square.
        through: the voxel along x, y, z that the planes go through; the middle of what is labelled by default.
        quality: of the JPEG, 1 to 95.
    """
    middle = _middle(truth) if through is None else through
    planes = [np.asarray(image[0].take(middle[axis], axis), np.float32) for axis in range(3)]
    low, high = np.percentile(np.concatenate([plane.ravel() for plane in planes]), (1, 99))

    def row(label: NDArray[np.uint8]) -> NDArray[np.uint8]:
        tiles = []
        for axis, plane in enumerate(planes):
            grey = 255 * np.clip((plane - low) / max(high - low, 1e-6), 0, 1)
            coloured = _coloured(grey, np.asarray(label.take(middle[axis], axis)), targets)
            tiles.append(_upright(coloured, *(spacing[other] for other in range(3) if other != axis)))
        return _beside(tiles)

    written = io.BytesIO()
    Image.fromarray(np.concatenate([row(truth), row(predicted)])).save(written, format="JPEG", quality=quality)
    return written.getvalue()


def _middle(label: NDArray[np.uint8]) -> list[int]:
    """Along each axis the plane that halves what is labelled; the volume's middle where nothing is."""
    labelled = label != 0
    over_z = labelled.sum(axis=2)
    middle = []
    for along in (over_z.sum(axis=1), over_z.sum(axis=0), labelled.sum(axis=(0, 1))):
        so_far = np.cumsum(along)
        middle.append(int(np.searchsorted(so_far, so_far[-1] / 2)) if so_far[-1] else len(along) // 2)
    return middle


def _coloured(grey: NDArray[np.float32], label: NDArray[np.uint8], targets: Targets) -> NDArray[np.uint8]:
    """A plane in grey, what is labelled tinted; of regions that overlap the later one's tint is on top."""
    pixels = np.repeat(grey[..., None], 3, axis=-1)
    for index in range(len(targets.names)):
        inside = targets.mask(label, index)
        pixels[inside] += OPACITY * (COLOURS[index % len(COLOURS)] - pixels[inside])
    return pixels.astype(np.uint8)


def _upright(plane: NDArray[np.uint8], across: float, up: float) -> NDArray[np.uint8]:
    """A plane (across, up, 3) as a tile of rows from top to bottom, its pixels square."""
    width, height = plane.shape[0] * across, plane.shape[1] * up
    scale = SIDE / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(plane.swapaxes(0, 1)[::-1]).resize(size, Image.Resampling.BICUBIC))


def _beside(tiles: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Tiles in a row, each in the middle of a black square."""
    row = np.zeros((SIDE, SIDE * len(tiles), 3), np.uint8)
    for index, tile in enumerate(tiles):
        top, left = (SIDE - tile.shape[0]) // 2, index * SIDE + (SIDE - tile.shape[1]) // 2
        row[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return row
