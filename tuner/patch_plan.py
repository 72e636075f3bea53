"""Which patch and batch sizes suit a data set, a network and a memory."""

from collections.abc import Iterable, Sequence
from math import ceil, prod

from trainables.networks import level_strides, patch_divisors

PatchSize = tuple[int, int, int]

PADDING = 2.0
"""The patch that covers the median volume may have this many times its voxels; more would be mostly padding."""

MOSTLY_PADDING = 4.0
"""A patch of so many times the voxels of the largest case is a slip, or wastes most of its time."""

SMALLER = 0.6
"""Each patch size that is offered has at most this share of the next larger one's voxels."""

BYTES_PER_VOXEL = 110
"""Memory of a training step for each voxel of a batch and each channel of the network's first level, in fp32: the
original 3D U-Net keeps 54.8 GiB for 8 patches of 128x128x128 at 32 channels. Lighter networks keep less."""

WORKSPACE = 1.25
"""Gradients, and what convolutions take while they run, on top."""


def fitting_levels(median_shape: Sequence[int], spacing: Sequence[float], *, most: int) -> int:
    """The levels, from `most` down to 2, with which a patch that covers the median volume is not mostly padding."""
    for levels in range(most, 2, -1):
        if prod(_covering(median_shape, levels, spacing)) <= PADDING * prod(median_shape):
            return levels
    return 2


def plan_patches(
    median_shape: Sequence[int], spacing: Sequence[float], *, levels: int, most_voxels: float, sizes: int = 3
) -> list[PatchSize]:
    """Patch sizes that a network of `levels` takes, largest first, at most `sizes` of them.

    The largest covers the median volume (voxels of `spacing` mm), or as much of it as `most_voxels` allow: as nnU-Net
    does (Isensee et al. 2021), the axis that is longest relative to the volume is shortened until it fits.
    """
    divisors = patch_divisors(level_strides(levels, spacing))
    least = _least(levels, spacing)
    patch = list(_covering(median_shape, levels, spacing))
    patches: list[PatchSize] = []
    limit = most_voxels
    while len(patches) < sizes:
        while prod(patch) > limit:
            shrinkable = [axis for axis in range(3) if patch[axis] > least[axis]]
            if not shrinkable:
                break
            axis = max(shrinkable, key=lambda a: patch[a] / median_shape[a])
            patch[axis] -= divisors[axis]
        if patches and prod(patch) > limit:
            break  # the smallest is already there
        patches.append((patch[0], patch[1], patch[2]))
        limit = SMALLER * prod(patch)
    return patches


def padded_patches(patches: Iterable[PatchSize], largest: Sequence[int]) -> list[PatchSize]:
    """Those that are mostly padding on every case, the largest of which has so many voxels along each axis."""
    return [patch for patch in patches if prod(patch) > MOSTLY_PADDING * prod(largest)]


def fitting_voxels(memory_gib: float, *, width: int, half: bool) -> float:
    """How many voxels a training batch may have in `memory_gib`, `half` if the network runs in half precision."""
    return memory_gib * 2**30 / (BYTES_PER_VOXEL * width * WORKSPACE * (0.5 if half else 1.0))


def plan_batches(*, fitting: float, useful: float) -> list[int]:
    """Which of the batch sizes 2, 4 and 8 to search: two at least where memory holds them, then those not too large.

    Args:
        fitting: how many of the largest patches memory holds.
        useful: the largest batch with which the first trial's patch still has steps enough.
    """
    return [batch for batch in (2, 4, 8) if batch == 2 or (batch <= fitting and batch <= max(4, useful))]


def _covering(median_shape: Sequence[int], levels: int, spacing: Sequence[float]) -> PatchSize:
    """The smallest patch that holds the median volume."""
    divisors = patch_divisors(level_strides(levels, spacing))
    x, y, z = (
        max(least, ceil(size / divisor) * divisor)
        for size, divisor, least in zip(median_shape, divisors, _least(levels, spacing), strict=True)
    )
    return x, y, z


def _least(levels: int, spacing: Sequence[float]) -> PatchSize:
    """The smallest useful patch: two voxels at the deepest level along each axis that is halved."""
    x, y, z = (2 * divisor if divisor > 1 else 1 for divisor in patch_divisors(level_strides(levels, spacing)))
    return x, y, z
