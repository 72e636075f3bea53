"""Resamples volumes to another number of voxels over the same extent.

On a regular grid this is linear and separable: along one axis it is a matrix of shape (new, old), which BLAS applies
far faster than a general interpolation visits 64 neighbours of each voxel. The corners of the volume stay where they
are (voxel centres move: half-pixel convention), and beyond the border the outermost voxel goes on.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

Spacing = tuple[float, float, float]
Shape = tuple[int, int, int]

COARSE_RATIO = 3.0
"""An axis more than this many times coarser than the finest one is resampled on its own terms (`image_orders`)."""


def resampled_shape(shape: Sequence[int], spacing: Sequence[float], target: Sequence[float]) -> Shape:
    """The voxels along each axis when `shape` voxels of `spacing` mm become voxels of `target` mm, at least one.

    An axis that keeps its number of voxels is not resampled at all: spacings that differ by less than half a voxel over
    the whole volume count as equal.
    """
    x, y, z = (max(1, round(n * s / t)) for n, s, t in zip(shape, spacing, target, strict=True))
    return x, y, z


def image_orders(spacing: Sequence[float], target: Sequence[float]) -> tuple[int, int, int]:
    """The spline order along each axis: 3, but 1 along an axis that is much coarser than the finest.

    Slices 5 mm apart share little, and a cubic spline through them rings. nnU-Net (Isensee et al. 2021, supplementary
    note 2) draws the line at the same ratio of 3 and takes the nearest slice there; between linear neighbours no slice
    is shown twice.
    """
    x, y, z = (
        1 if s > COARSE_RATIO * min(spacing) or t > COARSE_RATIO * min(target) else 3
        for s, t in zip(spacing, target, strict=True)
    )
    return x, y, z


def resample_image(image: np.ndarray, shape: Shape, orders: Sequence[int]) -> np.ndarray:
    """`image` (C, X, Y, Z) float32 on `shape` voxels, by splines of `orders`; `image` itself where none changes."""
    if image.shape[1:] == shape:
        return image
    resampled = np.empty((len(image), *shape), np.float32)
    for channel, out in zip(image, resampled, strict=True):
        matrices = [_axis_matrix(n, m, k) for n, m, k in zip(channel.shape, shape, orders, strict=True)]
        out[...] = _apply(matrices, channel)
    return resampled


def resample_label(label: np.ndarray, shape: Shape) -> np.ndarray:
    """`label` (X, Y, Z) uint8 on `shape` voxels: of all values the one that linear interpolation gives most weight.

    Where the values are bit masks of regions, each combination that occurs is a value of its own, so no combination
    appears that the label did not have. Background wins a draw.
    """
    if label.shape == shape:
        return label
    matrices = [_axis_matrix(n, m, 1) for n, m in zip(label.shape, shape, strict=True)]
    weight = _apply(matrices, (label == 0).astype(np.float32))
    resampled = np.zeros(shape, np.uint8)
    from scipy import ndimage  # half a second to import, which no trial needs

    for value, box in enumerate(ndimage.find_objects(label), start=1):
        if box is None:
            continue
        # Only the voxels that the value's box reaches: a small structure costs little however large the volume is.
        reached = [np.flatnonzero(matrix[:, part].any(axis=1)) for matrix, part in zip(matrices, box, strict=True)]
        if not all(len(rows) for rows in reached):
            continue
        parts = tuple(slice(rows[0], rows[-1] + 1) for rows in reached)
        small = [matrix[rows, columns] for matrix, rows, columns in zip(matrices, parts, box, strict=True)]
        own = _apply(small, (label[box] == value).astype(np.float32))
        wins = own > weight[parts]
        resampled[parts][wins] = value
        weight[parts][wins] = own[wins]
    return resampled


@lru_cache(maxsize=32)
def _axis_matrix(size: int, new_size: int, order: int) -> np.ndarray:
    """The (new_size, size) float32 matrix that resamples one axis: what the spline makes of each unit vector."""
    if size == new_size:
        return np.eye(size, dtype=np.float32)
    zoom = (new_size / size, 1)
    from scipy import ndimage

    return ndimage.zoom(np.eye(size), zoom, order=order, mode="nearest", grid_mode=True).astype(np.float32)


def _apply(matrices: Sequence[np.ndarray], volume: np.ndarray) -> np.ndarray:
    """`volume` (X, Y, Z) after each axis's matrix, the axis that shrinks most first."""
    for axis in sorted(range(3), key=lambda a: matrices[a].shape[0] / matrices[a].shape[1]):
        matrix = matrices[axis]
        if matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix))):
            continue
        if axis == 0:
            _, y, z = volume.shape
            volume = (matrix @ volume.reshape(len(volume), -1)).reshape(-1, y, z)
        elif axis == 1:
            volume = matrix @ volume
        else:
            volume = volume @ matrix.T
    return volume
