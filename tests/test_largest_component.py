"""Which pieces of a segmentation stay."""

import numpy as np

from trainables.largest_component import keep_largest_component
from trainables.targets import Targets

CLASSES = Targets(names=("a", "b"), members=((1,), (2,)), regions=False)
REGIONS = Targets(names=("whole", "core"), members=((1, 2), (2,)), regions=True)


def test_the_largest_piece_of_each_class_stays() -> None:
    encoded = np.zeros((9, 4, 4), np.uint8)
    encoded[0:2, 0, 0] = 1
    encoded[2, 1, 1] = 1  # touches the piece above at a corner
    encoded[5:7, 0, 0] = 1
    encoded[8, 3, 3] = 2
    before = encoded.copy()
    cleaned = keep_largest_component(encoded, CLASSES)
    expected = before.copy()
    expected[5:7] = 0
    assert np.array_equal(cleaned, expected)
    assert np.array_equal(encoded, before)


def test_a_region_loses_its_small_pieces_and_the_others_keep_theirs() -> None:
    encoded = np.zeros((9, 1, 1), np.uint8)
    encoded[:, 0, 0] = [3, 1, 3, 3, 0, 2, 0, 0, 1]
    cleaned = keep_largest_component(encoded, REGIONS)
    assert cleaned[:, 0, 0].tolist() == [1, 1, 3, 3, 0, 0, 0, 0, 0]


def test_nothing_to_keep() -> None:
    nothing = np.zeros((3, 3, 3), np.uint8)
    assert np.array_equal(keep_largest_component(nothing, CLASSES), nothing)


def test_more_classes_than_a_byte_has_bits() -> None:
    many = Targets(names=tuple("abcdefghij"), members=tuple((value,) for value in range(1, 11)), regions=False)
    encoded = np.zeros((5, 1, 1), np.uint8)
    encoded[:, 0, 0] = [10, 10, 9, 0, 10]
    assert keep_largest_component(encoded, many)[:, 0, 0].tolist() == [10, 10, 9, 0, 0]
