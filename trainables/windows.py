"""In which windows a network goes over a volume that it segments, and over how many at once."""

from collections.abc import Sequence
from itertools import product
from math import ceil, prod
from typing import cast

from trainables.errors import SettingError
from trainables.levels import Stride, patch_divisors

Window = tuple[int, int, int]

UNCUT = 1.3
"""A volume up to this many times as long as the patch along an axis is not cut along it.

A network scores best in windows of the size that it was trained on, since their borders tell it where it is, and worse
the larger they are. Over hippocampi of 35 x 50 x 36 voxels, trained fully on patches of 24x32x24, 32x40x32 and 24x40x32
voxels, Dice is 0.8635, 0.8611 and 0.8631 in windows of those sizes; 0.8621, 0.8595 and 0.8629 with this rule, in a
third of the time; 0.8507, 0.8552 and 0.8614 where each volume is one window.
"""

_AT_ONCE = {"cpu": 2**17, "cuda": 2**21}
"""Voxels in a forward pass that keep a device busy; more only take memory."""


def window_size(shape: Sequence[int], *, patch_size: Sequence[int], strides: Sequence[Stride]) -> Window:
    """Voxels along x, y, z of the windows over a volume of `shape`, for a network trained on `patch_size`.

    Along each axis the patch's size, or, where the volume is at most `UNCUT` times as long, the volume's, padded to
    what `strides` divide. The patch's throughout if the deepest level were left with one voxel, as nothing can be
    normalised there (`check_patch`).
    """
    divisors = patch_divisors(strides)
    window = tuple(
        -(-size // divisor) * divisor if size <= UNCUT * patch else patch
        for size, patch, divisor in zip(shape, patch_size, divisors, strict=True)
    )
    return cast(Window, tuple(patch_size) if window == divisors else window)


def window_starts(shape: Sequence[int], window: Sequence[int], overlap: float) -> list[Window]:
    """The first voxels of the fewest windows that cover `shape`, neighbours sharing at least `overlap` of their length.

    They are spread evenly from border to border. A volume shorter than the window has one, from 0.
    Raises SettingError for an `overlap` outside 0 to 1.
    """
    if not 0 <= overlap < 1:
        raise SettingError(f"overlap: must be at least 0 and less than 1, got {overlap!r}")
    along_axes = []
    for size, part in zip(shape, window, strict=True):
        room = max(0, size - part)
        steps = ceil(room / max(1, int(part * (1 - overlap))))
        along_axes.append([round(room * step / steps) for step in range(steps + 1)] if steps else [0])
    return cast(list[Window], list(product(*along_axes)))


def windows_at_once(window: Sequence[int], *, patch_size: Sequence[int], batch_size: int, device_type: str) -> int:
    """How many windows go through the network together, of one volume or of several.

    As many as keep the device busy, within the memory that sufficed to train on `batch_size` patches: twice as many
    voxels fit there, since nothing is kept for a way back. On a CPU one small window alone is slow (24x32x24: a third
    of the voxels a second of four together), and one large one is not.
    """
    most = min(2 * batch_size * prod(patch_size), _AT_ONCE[device_type])
    return max(1, most // prod(window))
