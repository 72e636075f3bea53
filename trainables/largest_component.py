"""Keeps of each class or region its largest connected piece: an organ is one, and specks elsewhere are not of it."""

import numpy as np
from numpy.typing import NDArray

from trainables.targets import Targets


def keep_largest_component(encoded: NDArray[np.uint8], targets: Targets) -> NDArray[np.uint8]:
    """A copy of `encoded` (X, Y, Z) in which every class or region is one piece at most, its largest.

    Voxels are connected across faces, edges and corners. What goes becomes background; a region's voxels stay in the
    other regions. Of equally large pieces the one that starts first in memory stays.
    """
    cleaned = encoded.copy()
    for index in range(len(targets.names)):
        dropped = _all_but_largest(targets.mask(cleaned, index))
        cleaned[dropped] = cleaned[dropped] & ~np.uint8(1 << index) if targets.regions else 0
    return cleaned


def _all_but_largest(members: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the True voxels lie outside the largest connected piece."""
    from scipy import ndimage

    pieces, count = ndimage.label(members, structure=np.ones((3, 3, 3)))
    if count < 2:
        return np.zeros_like(members)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return members & (pieces != sizes.argmax())
