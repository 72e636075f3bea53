"""How the levels of a U-Net follow one another: what is halved on the way down, and what a patch must be for it."""

from collections.abc import Sequence
from math import prod
from typing import cast

from trainables.errors import SettingError

Stride = tuple[int, int, int]

MAX_LEVELS = 8
_AXES = "xyz"
_HALVE_UP_TO = 2 * (1 - 1e-3)  # below: spacings read from float32 headers are twice another only nearly


def level_strides(levels: int, spacing: Sequence[float]) -> tuple[Stride, ...]:
    """Strides of the `levels` - 1 ways down for voxels of `spacing` (mm; x, y, z): towards cubic voxels.

    At each level an axis is halved unless its spacing there is at least twice the finest one (nnU-Net's rule,
    Isensee et al. 2021). Raises SettingError for `levels` outside 2 to MAX_LEVELS.
    """
    if not isinstance(levels, int) or isinstance(levels, bool) or not 2 <= levels <= MAX_LEVELS:
        raise SettingError(f"levels: must be a whole number from 2 to {MAX_LEVELS}, got {levels!r}")
    current = [float(s) for s in spacing]
    strides = []
    for _ in range(levels - 1):
        stride = cast(Stride, tuple(2 if s < _HALVE_UP_TO * min(current) else 1 for s in current))
        current = [s * factor for s, factor in zip(current, stride, strict=True)]
        strides.append(stride)
    return tuple(strides)


def patch_divisors(strides: Sequence[Stride]) -> tuple[int, int, int]:
    """What a patch's size along x, y, z must be a multiple of."""
    return cast(tuple[int, int, int], tuple(prod(stride[axis] for stride in strides) for axis in range(3)))


def check_patch(patch_size: Sequence[int], strides: Sequence[Stride]) -> None:
    """Raises SettingError unless a network with these strides can take patches of `patch_size` voxels (x, y, z)."""
    divisors = patch_divisors(strides)
    for size, divisor in zip(patch_size, divisors, strict=True):
        if size < 1:
            raise SettingError(f"patch_size: must be at least 1 along each axis, got {size}")
        if size % divisor:
            axes = ", ".join(_AXES[a] for a in range(3) if (patch_size[a], divisors[a]) == (size, divisor))
            below = size - size % divisor
            nearest = f"{below} or {below + divisor}" if below else f"{divisor}"
            raise SettingError(
                f"patch_size: {size} is not a multiple of {divisor} "
                f"(the network halves {axes} {_times(divisor.bit_length() - 1)}); use {nearest}"
            )
    if tuple(patch_size) == divisors:
        raise SettingError(
            f"patch_size: {'x'.join(map(str, patch_size))} leaves a single voxel at the deepest level, where nothing "
            f"can be normalised; use at least {2 * patch_size[0]} along x, or fewer levels"
        )


def level_kernels(strides: Sequence[Stride]) -> tuple[Stride, ...]:
    """Kernel sizes of a DynUNet's levels: 1 along an axis that is not halved yet nor next, 3 otherwise.

    So a convolution spans about the same distance along each axis (nnU-Net). The deepest level mixes all three axes.
    """
    kernels = [
        cast(Stride, tuple(3 if any(s[axis] > 1 for s in strides[: level + 1]) else 1 for axis in range(3)))
        for level in range(len(strides))
    ]
    return (*kernels, (3, 3, 3))


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
