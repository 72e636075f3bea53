"""Pictures of what a model finds in cases whose labels are known, each where it is most wrong.

for pictured in picture_cases(model, prepared_cases(volumes, names)):
    pictured.dice, pictured.picture
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainables.case_files import read_case
from trainables.dataset import Dataset
from trainables.dice import dice_score
from trainables.errors import DatasetError
from trainables.half_precision import compact
from trainables.model_file import Model
from trainables.picture import overlay
from trainables.preprocessing import preprocess_image, preprocess_label
from trainables.segmenter import Segmenter
from trainables.volumes import Volumes

MARGIN = 15.0
"""mm shown around what is labelled or was found: where in the body that is can still be told."""

QUALITY = 70
"""Of the JPEGs: some 25 kB a picture."""


@dataclass(frozen=True, kw_only=True)
class LabelledCase:
    """A case as a network sees it."""

    name: str
    image: NDArray[np.floating]
    """(C, X, Y, Z), preprocessed."""

    label: NDArray[np.uint8]
    """(X, Y, Z) on the same voxels, encoded by the model's targets."""


@dataclass(frozen=True, kw_only=True)
class PicturedCase:
    """What a model found in a case."""

    name: str
    dice: Mapping[str, float]
    """Of each class, in preprocessed voxels, as validation counts it."""

    picture: bytes
    """JPEG: label above, prediction below."""


def prepared_cases(volumes: Volumes, names: Iterable[str]) -> Iterator[LabelledCase]:
    """Cases that were preprocessed before. Raises KeyError for one that was not."""
    for name in names:
        volume = volumes[name]
        yield LabelledCase(name=name, image=volume.image, label=np.asarray(volume.label))


def read_cases(dataset: Dataset, model: Model, names: Iterable[str]) -> Iterator[LabelledCase]:
    """Cases from their files, preprocessed now as the model's training data were: the very same arrays.

    Raises DatasetError for a case that is not there, or whose files break a rule or do not fit the model.
    """
    known = {case.name: case for case in dataset.cases}
    if len(dataset.modalities) != model.plan.channels:
        raise DatasetError(f"{dataset.source}: has {len(dataset.modalities)} channels, the model {model.plan.channels}")
    for name in names:
        if name not in known:
            raise DatasetError(f"{dataset.source}: has no case {name!r}")
        case = read_case(dataset, known[name])
        image, grid = preprocess_image(case.image, case.affine, model.plan)
        label = preprocess_label(model.targets.encode(case.label), grid)
        yield LabelledCase(name=name, image=compact(image), label=label)


def picture_cases(model: Model, cases: Iterable[LabelledCase], *, device: str | None = None) -> Iterator[PicturedCase]:
    """Segment `cases`, one after another, and draw each. `device` as in `choose_device`."""
    segment = Segmenter(model, device)
    spacing, targets = model.plan.spacing, model.targets
    for case in cases:
        found = segment(case.image)
        box = _around(case.label | found, margins=[round(MARGIN / mm) for mm in spacing])
        label, predicted = case.label[box], found[box]
        yield PicturedCase(
            name=case.name,
            dice=dice_score(found, case.label, targets),
            picture=overlay(
                case.image[(slice(None), *box)],
                label,
                predicted,
                targets=targets,
                spacing=spacing,
                through=_most_wrong(label, predicted),
                quality=QUALITY,
            ),
        )


def _around(labelled: NDArray[np.uint8], margins: Sequence[int]) -> tuple[slice, ...]:
    """The box of what is not background, and `margins` voxels on each side along x, y, z; all where nothing is."""
    box = []
    for axis, margin in enumerate(margins):
        across = tuple(other for other in range(3) if other != axis)
        voxels = np.flatnonzero(labelled.any(axis=across))
        box.append(slice(max(0, voxels[0] - margin), voxels[-1] + 1 + margin) if len(voxels) else slice(None))
    return tuple(box)


def _most_wrong(label: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> list[int] | None:
    """Along each axis the plane in which most voxels differ, in the middle of those with as many; None: none does."""
    wrong = label != predicted
    if not wrong.any():
        return None
    over_z = wrong.sum(axis=2)
    counts = (over_z.sum(axis=1), over_z.sum(axis=0), wrong.sum(axis=(0, 1)))
    worst = (np.flatnonzero(count == count.max()) for count in counts)
    return [int(planes[len(planes) // 2]) for planes in worst]
