import numpy as np
import pytest
from scipy import ndimage

from trainables.resampling import image_orders, resample_image, resample_label, resampled_shape


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_shape_keeps_the_extent_to_the_nearest_voxel() -> None:
    assert resampled_shape((164, 166, 26), (0.79, 0.79, 5), (1, 1, 2.5)) == (130, 131, 52)
    assert resampled_shape((35, 51, 35), (1, 0.9999, 1.01), (1, 1, 1)) == (35, 51, 35)
    assert resampled_shape((1, 2, 3), (0.1, 0.1, 0.1), (5, 5, 5)) == (1, 1, 1)


def test_coarse_axes_are_interpolated_linearly() -> None:
    assert image_orders((0.8, 0.8, 5), (0.8, 0.8, 5)) == (3, 3, 1)
    assert image_orders((1, 1, 1), (1, 1, 1.5)) == (3, 3, 3)
    assert image_orders((1, 1, 1), (3.5, 1, 1)) == (1, 3, 3)
    assert image_orders((1, 1, 3), (1, 1, 1)) == (3, 3, 3)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("shape", [(27, 31, 12), (11, 40, 7), (1, 3, 2)])
def test_image_agrees_with_scipys_general_spline(
    rng: np.random.Generator, order: int, shape: tuple[int, int, int]
) -> None:
    image = rng.normal(size=(2, 20, 31, 7)).astype(np.float32)
    zoom = [new / old for new, old in zip(shape, image.shape[1:], strict=True)]
    resampled = resample_image(image, shape, (order,) * 3)
    assert resampled.dtype == np.float32
    for channel, expected in zip(resampled, image.astype(np.float64), strict=True):
        expected = ndimage.zoom(expected, zoom, order=order, mode="nearest", grid_mode=True)
        np.testing.assert_allclose(channel, expected, atol=2e-6)


def test_unchanged_shape_is_the_same_array(rng: np.random.Generator) -> None:
    image = rng.normal(size=(1, 4, 5, 6)).astype(np.float32)
    assert resample_image(image, (4, 5, 6), (3, 3, 3)) is image
    label = np.zeros((4, 5, 6), np.uint8)
    assert resample_label(label, (4, 5, 6)) is label


def test_a_single_voxel_fills_the_extent() -> None:
    assert (resample_image(np.full((1, 1, 1, 1), 7, np.float32), (3, 2, 4), (3, 3, 1)) == 7).all()
    assert (resample_label(np.full((1, 1, 1), 3, np.uint8), (3, 2, 4)) == 3).all()


@pytest.mark.parametrize("shape", [(15, 9, 22), (20, 7, 11), (4, 4, 4)])
def test_label_is_the_heaviest_value_under_linear_interpolation(
    rng: np.random.Generator, shape: tuple[int, int, int]
) -> None:
    label = rng.choice(np.array([0, 0, 0, 1, 2, 200], np.uint8), (10, 9, 11))
    zoom = [new / old for new, old in zip(shape, label.shape, strict=True)]
    values = np.array([0, 1, 2, 200], np.uint8)
    weights = np.stack(
        [ndimage.zoom((label == v).astype(float), zoom, order=1, mode="nearest", grid_mode=True) for v in values]
    )
    resampled = resample_label(label, shape)
    assert resampled.dtype == np.uint8
    chosen = np.take_along_axis(weights, np.searchsorted(values, resampled)[None], axis=0)[0]
    np.testing.assert_allclose(chosen, weights.max(axis=0), atol=1e-6)


def test_label_values_are_never_mixed() -> None:
    label = np.zeros((8, 8, 8), np.uint8)
    label[:4] = 4
    assert set(np.unique(resample_label(label, (16, 11, 5)))) == {0, 4}


def test_a_draw_goes_to_background() -> None:
    label = np.array([0, 1], np.uint8).reshape(2, 1, 1)
    assert resample_label(label, (3, 1, 1)).ravel().tolist() == [0, 0, 1]
    assert resample_label(label[::-1], (3, 1, 1)).ravel().tolist() == [1, 0, 0]
