"""In how large windows a network goes over a volume that it segments, and over how many at once."""

from collections.abc import Sequence
from math import prod

from trainables.networks import Stride, patch_divisors

ALWAYS_WHOLE = 2**17
"""Voxels of a volume that is never cut: its way through a network takes little beside what a process takes anyway."""

_AT_ONCE = 2**21
"""Voxels in a forward pass that keep a GPU busy; more only take memory."""


def window_size(
    shape: Sequence[int], *, patch_size: Sequence[int], batch_size: int, strides: Sequence[Stride]
) -> tuple[int, int, int]:
    """Voxels along x, y, z of the window for a volume of `shape`, given what the network was trained on.

    The whole volume, padded to what `strides` divide, where that leaves the deepest level more than one voxel, without
    which nothing can be normalised there (`check_patch`), and is at most twice the voxels of a training batch of
    `batch_size` patches: memory that sufficed to train holds it, since nothing is kept for a way back, and one pass
    costs a fraction of many overlapping ones. (Or at most `ALWAYS_WHOLE`.) Otherwise `patch_size`.
    """
    divisors = patch_divisors(strides)
    x, y, z = (-(-size // divisor) * divisor for size, divisor in zip(shape, divisors, strict=True))
    if (x, y, z) != divisors and x * y * z <= _most_voxels(patch_size, batch_size):
        return x, y, z
    x, y, z = patch_size
    return x, y, z


def windows_at_once(window: Sequence[int], *, patch_size: Sequence[int], batch_size: int, device_type: str) -> int:
    """How many windows go through the network together, of one volume or of several, in evaluations while training.

    On a GPU, which waits for its next small task most of the time that small volumes take, as many as the memory
    allows that `window_size` counts with. On a CPU one: more are no faster (40 hippocampi: 0.88 s two or four at a
    time, 0.87 s one by one), and what is computed for one stays in its caches.
    """
    if device_type == "cpu":
        return 1
    return max(1, min(_most_voxels(patch_size, batch_size), _AT_ONCE) // prod(window))


def _most_voxels(patch_size: Sequence[int], batch_size: int) -> int:
    return max(2 * batch_size * prod(patch_size), ALWAYS_WHOLE)
