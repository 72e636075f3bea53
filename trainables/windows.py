"""In how large windows a network goes over a volume that it segments."""

from collections.abc import Sequence
from math import prod

from trainables.networks import Stride, patch_divisors


def window_size(
    shape: Sequence[int], *, patch_size: Sequence[int], batch_size: int, strides: Sequence[Stride]
) -> tuple[int, int, int]:
    """Voxels along x, y, z of the window for a volume of `shape`, given what the network was trained on.

    The whole volume, padded to what `strides` divide, where that leaves the deepest level more than one voxel, without
    which nothing can be normalised there (`check_patch`), and is at most twice the voxels of a training batch of
    `batch_size` patches: memory that sufficed to train holds it, since nothing is kept for a way back, and one pass
    costs a fraction of many overlapping ones. Otherwise `patch_size`.
    """
    divisors = patch_divisors(strides)
    x, y, z = (-(-size // divisor) * divisor for size, divisor in zip(shape, divisors, strict=True))
    if (x, y, z) != divisors and x * y * z <= 2 * batch_size * prod(patch_size):
        return x, y, z
    x, y, z = patch_size
    return x, y, z
