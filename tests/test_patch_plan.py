"""Patches and batches for data sets of many shapes."""

from itertools import pairwise
from math import prod

import pytest

from trainables.networks import check_patch, level_strides
from tuner.patch_plan import fitting_levels, fitting_voxels, padded_patches, plan_batches, plan_patches

HIPPOCAMPUS = ((35, 50, 36), (1.0, 1.0, 1.0))
SPLEEN = ((512, 512, 90), (0.79, 0.79, 5.0))


def test_hippocampus_as_nnunet_plans_it() -> None:
    """40 x 56 x 40 is the patch that nnU-Net reports for this data set."""
    shape, spacing = HIPPOCAMPUS
    assert plan_patches(shape, spacing, levels=4, most_voxels=1e9)[0] == (40, 56, 40)


def test_patches_get_smaller_in_steps() -> None:
    shape, spacing = HIPPOCAMPUS
    patches = plan_patches(shape, spacing, levels=4, most_voxels=1e9)
    assert patches == [(40, 56, 40), (32, 48, 32), (24, 40, 24)]


def test_thick_slices_are_halved_less() -> None:
    shape, spacing = SPLEEN
    largest = plan_patches(shape, spacing, levels=5, most_voxels=2e6)[0]
    assert largest[0] == largest[1] > 4 * largest[2]
    assert prod(largest) <= 2e6


@pytest.mark.parametrize("levels", [2, 3, 4, 5])
@pytest.mark.parametrize("most_voxels", [1e4, 1e5, 1e6, 1e9])
@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        HIPPOCAMPUS,
        SPLEEN,
        ((138, 170, 138), (1.0, 1.0, 1.0)),
        ((320, 320, 115), (1.25, 1.25, 1.37)),
        ((10, 200, 4), (3.0, 0.5, 8.0)),
        ((1, 1, 1), (1.0, 1.0, 1.0)),
    ],
)
def test_every_network_takes_its_patches(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], levels: int, most_voxels: float
) -> None:
    patches = plan_patches(shape, spacing, levels=levels, most_voxels=most_voxels)
    assert 1 <= len(patches) <= 3
    for patch in patches:
        check_patch(patch, level_strides(levels, spacing))
    assert all(prod(small) <= 0.6 * prod(large) for large, small in pairwise(patches))
    smaller = plan_patches(shape, spacing, levels=levels, most_voxels=0)
    assert prod(patches[0]) <= most_voxels or patches == smaller


@pytest.mark.parametrize(
    ("shape", "levels"), [((35, 50, 36), 4), ((138, 170, 138), 5), ((20, 24, 18), 4), ((12, 12, 12), 3), ((4, 4, 4), 2)]
)
def test_small_volumes_have_room_for_fewer_levels(shape: tuple[int, int, int], levels: int) -> None:
    assert fitting_levels(shape, (1.0, 1.0, 1.0), most=5) == levels


def test_patches_that_no_case_fills() -> None:
    # 36 x 50 x 36 voxels are 64,800; four times as many, 259,200
    assert padded_patches([(36, 50, 36), (64, 64, 63), (64, 64, 64), (320, 320, 240)], (36, 50, 36)) == [
        (64, 64, 64),
        (320, 320, 240),
    ]


def test_memory_of_the_original_unet() -> None:
    """facts: its training step at 128^3, batch 8, 32 channels keeps 54.8 GiB in fp32; with a quarter on top 68.5."""
    voxels = 8 * 128**3
    assert fitting_voxels(68.5, width=32, half=False) == pytest.approx(voxels, rel=0.01)
    assert fitting_voxels(68.5, width=32, half=True) == pytest.approx(2 * voxels, rel=0.01)
    assert fitting_voxels(68.5, width=16, half=False) == pytest.approx(2 * voxels, rel=0.01)


@pytest.mark.parametrize(
    ("fitting", "useful", "batches"),
    [(2, 100, [2]), (3.9, 100, [2]), (4, 100, [2, 4]), (100, 100, [2, 4, 8]), (100, 7.9, [2, 4]), (100, 1, [2, 4])],
)
def test_batches(fitting: float, useful: float, batches: list[int]) -> None:
    assert plan_batches(fitting=fitting, useful=useful) == batches
