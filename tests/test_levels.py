"""Strides, kernels and patches of a U-Net's levels, against what nnU-Net plans by hand."""

from typing import Any

import pytest

from trainables.errors import SettingError
from trainables.levels import Stride, check_patch, level_kernels, level_strides, patch_divisors


@pytest.mark.parametrize(
    ("spacing", "strides"),
    [
        ((1.0, 1.0, 1.0), ((2, 2, 2), (2, 2, 2), (2, 2, 2))),
        ((0.8, 0.8, 5.0), ((2, 2, 1), (2, 2, 1), (2, 2, 2))),  # 0.8, 1.6, 3.2, then 5 is less than twice 3.2
        ((1.0, 1.0, 2.0), ((2, 2, 1), (2, 2, 2), (2, 2, 2))),  # twice as far apart: not halved
        ((0.7, 0.7, 1.3999998), ((2, 2, 1), (2, 2, 2), (2, 2, 2))),  # the same, read from a float32 header
        ((6.0, 1.0, 1.0), ((1, 2, 2), (1, 2, 2), (2, 2, 2))),
        ((0.5, 1.5, 1.5), ((2, 1, 1), (2, 2, 2), (2, 2, 2))),
    ],
)
def test_axes_are_halved_until_voxels_are_about_cubic(
    spacing: tuple[float, float, float], strides: tuple[Stride, ...]
) -> None:
    assert level_strides(4, spacing) == strides


def test_divisors_are_the_products_of_the_strides() -> None:
    assert patch_divisors(level_strides(4, (0.8, 0.8, 5.0))) == (8, 8, 2)


def test_kernels_are_flat_until_the_coarse_axis_is_halved() -> None:
    assert level_kernels(((2, 2, 1), (2, 2, 1), (2, 2, 2))) == ((3, 3, 1), (3, 3, 1), (3, 3, 3), (3, 3, 3))


def test_the_deepest_level_mixes_an_axis_that_is_never_halved() -> None:
    assert level_kernels(((2, 2, 1), (2, 2, 1))) == ((3, 3, 1), (3, 3, 1), (3, 3, 3))


@pytest.mark.parametrize("levels", [1, 0, 9, 10**12, 3.0, True, "4"])
def test_levels_out_of_range(levels: Any) -> None:
    with pytest.raises(SettingError) as error:
        level_strides(levels, (1, 1, 1))
    assert str(error.value) == f"levels: must be a whole number from 2 to 8, got {levels!r}"


@pytest.mark.parametrize("patch", [(32, 32, 2), (8, 16, 2), (512, 512, 64)])
def test_patches_that_fit(patch: tuple[int, ...]) -> None:
    check_patch(patch, level_strides(4, (0.8, 0.8, 5.0)))


@pytest.mark.parametrize(
    ("patch", "spacing", "message"),
    [
        (
            (100, 100, 100),
            (1, 1, 1),
            "patch_size: 100 is not a multiple of 8 (the network halves x, y, z 3 times); use 96 or 104",
        ),
        (
            (32, 20, 20),
            (1, 1, 1),
            "patch_size: 20 is not a multiple of 8 (the network halves y, z 3 times); use 16 or 24",
        ),
        (
            (32, 32, 15),
            (0.8, 0.8, 5),
            "patch_size: 15 is not a multiple of 2 (the network halves z once); use 14 or 16",
        ),
        ((5, 32, 32), (1, 1, 1), "patch_size: 5 is not a multiple of 8 (the network halves x 3 times); use 8"),
        ((32, 32, 0), (1, 1, 1), "patch_size: must be at least 1 along each axis, got 0"),
        (
            (8, 8, 2),
            (0.8, 0.8, 5),
            "patch_size: 8x8x2 leaves a single voxel at the deepest level, where nothing can be normalised; "
            "use at least 16 along x, or fewer levels",
        ),
    ],
)
def test_patches_that_do_not_fit(patch: tuple[int, ...], spacing: tuple[float, float, float], message: str) -> None:
    with pytest.raises(SettingError) as error:
        check_patch(patch, level_strides(4, spacing))
    assert str(error.value) == message
