"""Surface distances of shapes whose distances are known."""

import warnings

import numpy as np
import pytest

from trainables.errors import SettingError
from trainables.surface import SurfaceScore, check_tolerance, surface_scores
from trainables.targets import Targets

BOX = Targets(names=("box",), members=((1,),), regions=False)
REGIONS = Targets(names=("whole", "core"), members=((1, 2), (2,)), regions=True)
ANISOTROPIC = np.diag([-0.8, 0.8, 5.0, 1.0])


def box(*ends: tuple[int, int], shape: tuple[int, int, int] = (30, 28, 26)) -> np.ndarray:
    filled = np.zeros(shape, np.uint8)
    filled[tuple(slice(*pair) for pair in ends)] = 1
    return filled


def score(
    found: np.ndarray, true: np.ndarray, *, affine: np.ndarray | None = None, tolerance: float = 1
) -> SurfaceScore:
    affine = np.eye(4) if affine is None else affine
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing of MONAI's reaches the user
        return surface_scores(found, true, BOX, affine, tolerance=tolerance)["box"]


def test_the_same_shape() -> None:
    shape = box((5, 15), (5, 15), (5, 15))
    assert score(shape, shape, tolerance=0) == SurfaceScore(hd95=0, nsd=1)


@pytest.mark.parametrize(("axis", "mm"), [(0, 1.6), (1, 1.6), (2, 10.0)])
def test_a_shift_counts_in_mm_along_its_axis(axis: int, mm: float) -> None:
    """By two voxels of 0.8 x 0.8 x 5 mm: of one face in six another is so far away, more than 5 % of the surface."""
    true = box((5, 15), (5, 15), (5, 15))
    moved = score(np.roll(true, 2, axis), true, affine=ANISOTROPIC, tolerance=1)
    assert moved.hd95 == pytest.approx(mm)
    assert score(np.roll(true, 2, axis), true, affine=ANISOTROPIC, tolerance=mm).nsd == 1
    assert 0.5 < moved.nsd < 0.95


def test_nsd_counts_areas_not_voxels() -> None:
    """A slab of 40 x 40 x 15 mm, of 0.8 x 0.8 x 5 mm voxels, one slice too thick on one side.

    One large face of each is 5 mm from the other's, and the rim of the slice: of 2 x (40 x 40) + 4 x 40 x 15 mm2 with
    and 4 x 40 x 20 without, so two thirds of all area are within 1 mm.
    """
    true, thick = (box((3, 53), (3, 53), (3, end), shape=(56, 56, 10)) for end in (6, 7))
    area, more = 2 * 1600 + 4 * 40 * 15, 2 * 1600 + 4 * 40 * 20
    expected = 1 - (1600 + 1600 + 4 * 40 * 5) / (area + more)
    assert score(thick, true, affine=ANISOTROPIC).nsd == pytest.approx(expected, abs=0.05)


def test_where_a_class_is_missing() -> None:
    nothing, shape = box((0, 0), (0, 0), (0, 0)), box((5, 15), (5, 15), (5, 15))
    assert score(nothing, nothing) == SurfaceScore(hd95=0, nsd=1)
    assert score(nothing, shape) == score(shape, nothing) == SurfaceScore(hd95=None, nsd=0)


def test_a_shape_at_the_images_border_ends_there() -> None:
    shape = box((0, 30), (0, 28), (0, 26))
    one_less = box((1, 29), (1, 27), (1, 25))
    assert score(shape, one_less).hd95 == pytest.approx(2**0.5)  # along the edges, which are 7 % of the surface
    assert score(shape, shape).nsd == 1


def test_regions_that_overlap() -> None:
    true = box((5, 15), (5, 15), (5, 15)) + 2 * box((8, 12), (8, 12), (8, 12))  # 1 for whole, 3 where core is too
    found = box((5, 15), (5, 15), (5, 15)) + 2 * box((8, 12), (8, 12), (10, 14))
    scores = surface_scores(found, true, REGIONS, np.eye(4), tolerance=1)
    assert scores["whole"] == SurfaceScore(hd95=0, nsd=1)
    assert scores["core"].hd95 == pytest.approx(2)


def test_tolerances_that_are_none() -> None:
    for tolerance in (-1, float("nan"), float("inf")):
        with pytest.raises(SettingError, match=f"tolerance: must be 0 mm or more, got {tolerance:g}"):
            check_tolerance(tolerance)
