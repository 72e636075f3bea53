import itertools

import nibabel as nib
import numpy as np
import pytest

from trainables.grid import Grid

ORIENTATIONS = [
    "".join(letters)
    for order in itertools.permutations(range(3))
    for letters in itertools.product(*[("LR", "PA", "IS")[axis] for axis in order])
]


def affine_of(codes: str, spacing: tuple[float, float, float], shape: tuple[int, int, int]) -> np.ndarray:
    """An affine whose voxel axes run to the directions `codes`, `spacing` mm apart along the file's axes."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, code in enumerate(codes):
        world = "LRPAIS".index(code) // 2
        step = spacing[axis] if code in "RAS" else -spacing[axis]
        affine[world, axis] = step
        affine[world, 3] = 0 if step > 0 else -step * (shape[axis] - 1)
    return affine


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_every_orientation_becomes_ras_and_comes_back(codes: str) -> None:
    shape, spacing = (4, 5, 6), (1.0, 2.0, 3.0)
    affine = affine_of(codes, spacing, shape)
    assert "".join(nib.aff2axcodes(affine)) == codes
    array = np.random.default_rng(1).integers(0, 200, shape, np.uint8)
    grid = Grid.of(shape, affine, target_spacing=spacing)
    expected = nib.as_closest_canonical(nib.Nifti1Image(array, affine))
    np.testing.assert_array_equal(grid.orient(array), expected.get_fdata())
    assert grid.spacing == expected.header.get_zooms()
    np.testing.assert_array_equal(grid.orient_back(grid.orient(array)), array)
    np.testing.assert_array_equal(grid.orient(array[None])[0], grid.orient(array))


def test_an_oblique_file_counts_as_its_nearest_axes() -> None:
    turn = nib.eulerangles.euler2mat(z=0.3, y=0.1, x=-0.2)
    affine = nib.affines.from_matvec(turn @ np.diag([0.5, 0.5, 2]))
    grid = Grid.of((10, 10, 10), affine, target_spacing=(1, 1, 1))
    assert grid.axes == (0, 1, 2)
    np.testing.assert_allclose(grid.spacing, (0.5, 0.5, 2))


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAR", "PIL"])
def test_restore_is_exact_where_nothing_is_resampled(codes: str) -> None:
    shape, spacing = (9, 8, 7), (1.5, 1.5, 1.5)
    rng = np.random.default_rng(2)
    image = np.zeros((2, *shape), np.float32)
    image[1, 2:7, 1:8, 3:5] = rng.normal(size=(5, 7, 2))
    label = np.zeros(shape, np.uint8)
    label[2:7, 1:8, 3:5] = rng.integers(0, 3, (5, 7, 2))
    whole = Grid.of(shape, affine_of(codes, spacing, shape), target_spacing=spacing)
    grid = whole.cropped_to_content(whole.orient(image))
    assert sorted(grid.shape) == [2, 5, 7]
    np.testing.assert_array_equal(grid.restore(grid.crop(grid.orient(label))), label)


def test_an_empty_image_keeps_its_box() -> None:
    grid = Grid.of((3, 4, 5), np.eye(4), target_spacing=(1, 1, 1))
    assert grid.cropped_to_content(np.zeros((1, 3, 4, 5))) == grid


def test_restore_of_another_shape_is_our_mistake() -> None:
    grid = Grid.of((3, 4, 5), np.eye(4), target_spacing=(1, 1, 1))
    with pytest.raises(AssertionError, match=r"label \(3, 4, 6\), box \(3, 4, 5\)"):
        grid.restore(np.zeros((3, 4, 6), np.uint8))
