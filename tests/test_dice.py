"""Dice against sets of voxels counted one by one."""

import numpy as np
import pytest

from trainables import dice
from trainables.dice import dice_score, overlap_counts
from trainables.targets import Targets

CLASSES = Targets(names=("left", "right"), members=((1,), (2,)), regions=False)
REGIONS = Targets(names=("whole", "core"), members=((1, 2), (2,)), regions=True)


def _random(high: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, (5, 6, 7), dtype=np.uint8)


def _by_sets(prediction: np.ndarray, truth: np.ndarray) -> float:
    predicted, true = set(zip(*np.nonzero(prediction), strict=True)), set(zip(*np.nonzero(truth), strict=True))
    return 2 * len(predicted & true) / (len(predicted) + len(true))


def test_classes() -> None:
    prediction, truth = _random(3, 0), _random(3, 1)
    expected = {"left": _by_sets(prediction == 1, truth == 1), "right": _by_sets(prediction == 2, truth == 2)}
    assert dice_score(prediction, truth, CLASSES) == pytest.approx(expected, abs=1e-12)


def test_regions_are_bits() -> None:
    prediction, truth = _random(4, 0), _random(4, 1)
    expected = {"whole": _by_sets(prediction & 1, truth & 1), "core": _by_sets(prediction & 2, truth & 2)}
    assert dice_score(prediction, truth, REGIONS) == pytest.approx(expected, abs=1e-12)


def test_the_highest_codes_count() -> None:
    many = Targets(names=tuple(map(str, range(1, 256))), members=tuple((v,) for v in range(1, 256)), regions=False)
    full = np.full((2, 3, 4), 255, np.uint8)
    assert overlap_counts(full, full, many)[:, -1].tolist() == [24, 24, 24]
    assert overlap_counts(full, full, many)[:, :-1].sum() == 0
    eight = Targets(names=tuple("abcdefgh"), members=tuple((v,) for v in range(1, 9)), regions=True)
    assert overlap_counts(full, full, eight).tolist() == [[24] * 8] * 3


def test_absent_classes_have_a_finite_score() -> None:
    nothing, left = np.zeros((2, 2, 2), np.uint8), np.ones((2, 2, 2), np.uint8)
    assert dice_score(nothing, nothing, CLASSES) == {"left": 1.0, "right": 1.0}
    assert dice_score(left, nothing, CLASSES) == {"left": 0.0, "right": 1.0}
    assert dice_score(nothing, left, CLASSES) == {"left": 0.0, "right": 1.0}


def test_counts_are_integers_and_do_not_depend_on_chunks_or_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    prediction, truth = _random(3, 0), _random(3, 1)
    whole = overlap_counts(prediction, truth, CLASSES)
    assert whole.dtype == np.int64
    assert whole[1].tolist() == [int((prediction == 1).sum()), int((prediction == 2).sum())]
    assert whole[2].tolist() == [int((truth == 1).sum()), int((truth == 2).sum())]
    monkeypatch.setattr(dice, "_CHUNK", 32)
    assert np.array_equal(overlap_counts(np.asfortranarray(prediction), truth, CLASSES), whole)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"one shape, got \(5, 6, 7\) and \(5, 6, 8\)"):
        dice_score(np.zeros((5, 6, 7), np.uint8), np.zeros((5, 6, 8), np.uint8), CLASSES)
