import io

import numpy as np
import pytest
from PIL import Image

from trainables.picture import COLOUR_NAMES, COLOURS, OPACITY, SIDE, overlay
from trainables.targets import Targets

CLASSES = Targets(names=("front", "back"), members=((1,), (2,)), regions=False)
REGIONS = Targets(names=("whole", "core"), members=((1, 2), (2,)), regions=True)


def drawn(*arguments: object, **options: object) -> np.ndarray:
    with Image.open(io.BytesIO(overlay(*arguments, **options))) as picture:  # type: ignore[arg-type]
        assert picture.format == "JPEG"
        return np.asarray(picture, np.float32)


def tinted(index: int, grey: float) -> np.ndarray:
    return grey + OPACITY * (COLOURS[index] - grey)


def test_the_colours_have_names() -> None:
    assert len(COLOUR_NAMES) == len(COLOURS)
    strongest = {"red": 0, "green": 1, "blue": 2}
    assert all(COLOURS[COLOUR_NAMES.index(name)].argmax() == channel for name, channel in strongest.items())


def volume() -> tuple[np.ndarray, np.ndarray]:
    """Brighter to the right (x), and a labelled block low, in front and on the right."""
    image = np.broadcast_to(np.linspace(0, 100, 40)[:, None, None], (40, 40, 40))[None]
    label = np.zeros((40, 40, 40), np.uint8)
    label[24:36, 22:38, 4:16] = 1
    return image, label


def test_three_planes_with_the_label_above_and_what_was_found_below() -> None:
    image, label = volume()
    picture = drawn(image, label, np.zeros_like(label), targets=CLASSES, spacing=(1, 1, 1))

    assert picture.shape == (2 * SIDE, 3 * SIDE, 3)
    pixel = SIDE / 40
    axial = picture[:SIDE, 2 * SIDE :]  # columns from left to right of x, rows from the front (high y) to the back
    inside = axial[int(10 * pixel), int(30 * pixel)]
    np.testing.assert_allclose(inside, tinted(0, 255 * 30 / 39), atol=12)
    outside = axial[int(35 * pixel), int(30 * pixel)]
    np.testing.assert_allclose(outside, 255 * 30 / 39, atol=12)
    sagittal = picture[:SIDE, :SIDE]  # z upwards: the block is low
    assert np.ptp(sagittal[int(30 * pixel), int(30 * pixel)]) > 40
    assert np.ptp(sagittal[int(10 * pixel), int(30 * pixel)]) < 10
    assert np.ptp(picture[SIDE:], axis=-1).max() < 10  # nothing was found there


def test_pixels_are_square_whatever_the_spacing() -> None:
    image, label = volume()
    picture = drawn(np.ones_like(image) * image, label, label, targets=CLASSES, spacing=(1, 1, 0.5))

    coronal = picture[:SIDE, SIDE : 2 * SIDE]  # 40 mm across, 20 mm upwards: bars above and below
    assert coronal[: SIDE // 4 - 2].max() < 10
    assert coronal[SIDE // 4 + 2 : 3 * SIDE // 4 - 2, -10:].min() > 200


def test_of_overlapping_regions_the_later_one_is_on_top() -> None:
    image, label = volume()
    codes = label.copy()
    codes[28:32, 26:34, 4:16] = 3  # in both regions
    picture = drawn(np.full_like(image, 5.0), codes, codes, targets=REGIONS, spacing=(1, 1, 1))

    axial, pixel = picture[SIDE:, 2 * SIDE :], SIDE / 40
    whole, core = axial[int(9 * pixel), int(26 * pixel)], axial[int(9 * pixel), int(30 * pixel)]
    np.testing.assert_allclose(whole, tinted(0, 0.0), atol=12)
    np.testing.assert_allclose(core, tinted(0, 0.0) + OPACITY * (COLOURS[1] - tinted(0, 0.0)), atol=12)


@pytest.mark.parametrize("shape", [(7, 3, 1), (300, 2, 250)])
def test_any_shape_and_a_volume_without_label_can_be_shown(shape: tuple[int, int, int]) -> None:
    nothing = np.zeros(shape, np.uint8)
    picture = drawn(np.zeros((2, *shape)), nothing, nothing, targets=CLASSES, spacing=(1, 1, 4))
    assert picture.shape == (2 * SIDE, 3 * SIDE, 3)
