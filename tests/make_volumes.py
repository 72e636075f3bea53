"""Writes preprocessed volumes of made-up arrays, for tests of what is trained on them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from make_data import blob_case

from trainables.normalisation import ChannelNormalisation
from trainables.preprocessing import PreprocessingPlan
from trainables.targets import Targets
from trainables.volume_store import Volume, Volumes, VolumeWriter


def write_volumes(
    folder: Path,
    cases: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    classes: int = 2,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    regions: bool = False,
) -> Volumes:
    """`cases`: image (C, X, Y, Z) and label (X, Y, Z) of each name, written as they are.

    With `regions` the label is a bit mask, and region i is made of the label values from i + 1 on.
    """
    folder.mkdir(parents=True)
    channels = len(next(iter(cases.values()))[0])
    with VolumeWriter(folder) as writer:
        for name, (image, label) in cases.items():
            members = [label & (1 << t) != 0 if regions else label == t + 1 for t in range(classes)]
            voxels = tuple(np.argwhere(member).astype(np.int32) for member in members)
            writer.add(name, Volume(image.astype(np.float32), label.astype(np.uint8), voxels))
        writer.finish(
            plan=PreprocessingPlan(
                spacing=(spacing[0], spacing[1], spacing[2]),
                normalisation=tuple(ChannelNormalisation(kind="zscore") for _ in range(channels)),
            ),
            targets=Targets(
                names=tuple(f"class{c + 1}" for c in range(classes)),
                members=tuple(tuple(range(c + 1, classes + 1 if regions else c + 2)) for c in range(classes)),
                regions=regions,
            ),
            modalities=["MRI"] * channels,
        )
    return Volumes(folder)


def write_blobs(
    folder: Path, *, cases: int = 6, shape: Sequence[int] = (20, 24, 18), channels: int = 1, classes: int = 2
) -> Volumes:
    """`cases` normalised blobs named case_001, ...; a small network learns them within seconds."""
    arrays = {}
    for number in range(1, cases + 1):
        image, label = blob_case(number, shape=shape, channels=channels, classes=classes)
        image = image[None] if channels == 1 else np.moveaxis(image, -1, 0)
        arrays[f"case_{number:03d}"] = ((image - image.mean()) / image.std(), label)
    return write_volumes(folder, arrays, classes=classes)
