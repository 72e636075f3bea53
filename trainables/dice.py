"""How well a segmentation agrees with the truth: Dice per class, from integer counts of voxels."""

import numpy as np
from numpy.typing import NDArray

from trainables.targets import Targets

_CHUNK = 1 << 22  # voxels: numpy counts in copies of eight bytes a voxel


def dice_score(prediction: NDArray[np.uint8], truth: NDArray[np.uint8], targets: Targets) -> dict[str, float]:
    """2 |P ∩ T| / (|P| + |T|) of each class or region by name; both arrays encoded, of one shape.

    Always finite: 1 where a class is in neither (rightly left out), 0 where it is in one of them only.
    """
    overlap, predicted, true = overlap_counts(prediction, truth, targets)
    total = predicted + true
    scores = np.where(total == 0, 1.0, 2 * overlap / np.maximum(total, 1))
    return dict(zip(targets.names, scores.tolist(), strict=True))


def overlap_counts(prediction: NDArray[np.uint8], truth: NDArray[np.uint8], targets: Targets) -> NDArray[np.int64]:
    """Voxels in both, in the prediction and in the truth, of each class: (3, classes). Counts of cases may be added."""
    if prediction.shape != truth.shape:
        raise ValueError(f"prediction and truth must have one shape, got {prediction.shape} and {truth.shape}")
    # One pass over the voxels, however many classes: how often each pair of codes occurs.
    pairs = np.zeros(256 * 256, np.int64)
    of_truth, of_prediction = truth.ravel(), prediction.ravel()
    for start in range(0, of_truth.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        pairs += np.bincount(of_truth[part].astype(np.uint16) * 256 + of_prediction[part], minlength=256 * 256)
    by_code = pairs.reshape(256, 256)  # (truth, prediction)
    member = _codes_of_each(targets)
    true = member @ by_code.sum(axis=1)
    predicted = member @ by_code.sum(axis=0)
    overlap = np.einsum("kt,tp,kp->k", member, by_code, member, optimize=True)
    return np.stack([overlap, predicted, true])


def _codes_of_each(targets: Targets) -> NDArray[np.int64]:
    """(classes, 256): 1 where a voxel of that code belongs to the class."""
    codes = np.arange(256, dtype=np.uint8)
    return np.stack([targets.mask(codes, index) for index in range(len(targets.names))]).astype(np.int64)
