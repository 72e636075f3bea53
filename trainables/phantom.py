"""Generated data sets in the Decathlon's layout, for demos and tests: organ-like shapes that no threshold finds.

Seen from afar they are MSD's heart (MRI), spleen (CT, slices of 5 mm) and brain tumour (four MRI contrasts): lobed
organs among neighbours of like intensity, bias field, partial volume and noise, another anatomy in every case.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from trainables import phantom_brain, phantom_heart, phantom_spleen
from trainables.errors import DatasetError, SettingError
from trainables.phantom_shapes import Point, Room

SMALLEST_SIZE, LARGEST_SIZE = 0.25, 4.0
MOST_CASES = 999


@dataclass(frozen=True, kw_only=True)
class PhantomTask:
    """What one kind of phantom shows, and how its files lie."""

    modalities: tuple[str, ...]
    labels: Mapping[int, str]
    extent: Point
    """mm that a volume shows along R, A, S; cases vary around it."""

    spacing: Point
    """mm between voxels along R, A, S at `size` 1."""

    finer: tuple[bool, bool, bool]
    """Which axes `size` makes finer."""

    directions: tuple[int, int, int]
    """Where the files' axes run: 1 towards R, A, S, -1 towards L, P, I. Readers must cope with all of them."""

    make: Callable[[Room], tuple[np.ndarray, np.ndarray]]
    """Image (C, X, Y, Z) int16 and label (X, Y, Z) uint8 of one case, axes towards R, A, S."""


PHANTOM_TASKS: Mapping[str, PhantomTask] = {
    "heart": PhantomTask(
        modalities=phantom_heart.MODALITIES,
        labels=phantom_heart.LABELS,
        extent=(160, 160, 120),
        spacing=(2.5, 2.5, 2.5),
        finer=(True, True, True),
        directions=(1, 1, 1),
        make=phantom_heart.make_heart,
    ),
    "spleen": PhantomTask(
        modalities=phantom_spleen.MODALITIES,
        labels=phantom_spleen.LABELS,
        extent=(250, 215, 125),
        spacing=(2.25, 2.25, 5.0),
        finer=(True, True, False),
        directions=(-1, 1, 1),
        make=phantom_spleen.make_spleen,
    ),
    "brain": PhantomTask(
        modalities=phantom_brain.MODALITIES,
        labels=phantom_brain.LABELS,
        extent=(142, 176, 134),
        spacing=(2.25, 2.25, 2.25),
        finer=(True, True, True),
        directions=(-1, -1, 1),
        make=phantom_brain.make_brain,
    ),
}


def write_phantom(
    folder: Path | str,
    *,
    task: str = "heart",
    cases: int = 12,
    seed: int = 0,
    size: float = 1.0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Path:
    """Write a data set of `cases` generated cases and its `dataset.json`; gives back the folder.

    `size` multiplies the voxels along each axis (along x and y for the spleen, whose slices stay 5 mm apart); at 1 a
    volume has some 64 x 64 x 48 (heart), 111 x 96 x 25 (spleen) or 63 x 78 x 60 (brain) voxels. A case depends on the
    seed and its number alone: case 3 is the same in a data set of 4 as in one of 40. `progress` is told how many cases
    are written.

    Raises SettingError for an argument out of its bounds, DatasetError where `folder` exists and is not empty, or
    can't be made.
    """
    _check_arguments(task, cases, seed, size)
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DatasetError(f"{folder}: exists and is not an empty folder; nothing was written")
    for part in ("imagesTr", "labelsTr"):
        try:
            (folder / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatasetError(f"{folder}: can't be made a folder: {error.strerror}; choose another") from None

    entries = []
    for number in range(1, cases + 1):
        name = f"{task}_{number:03d}.nii.gz"
        entry = {"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"}
        image, label, affine = _make_case(PHANTOM_TASKS[task], np.random.default_rng([seed, number]), size)
        _write_nifti(folder / entry["image"], np.moveaxis(image, 0, -1) if len(image) > 1 else image[0], affine)
        _write_nifti(folder / entry["label"], label, affine)
        entries.append(entry)
        progress(number, cases)
    # Last: a folder with a dataset.json is complete.
    (folder / "dataset.json").write_text(json.dumps(_manifest(task, entries), indent=2) + "\n")
    return folder


def _check_arguments(task: str, cases: int, seed: int, size: float) -> None:
    if task not in PHANTOM_TASKS:
        raise SettingError(f"task: there is no phantom {task!r}; available are {', '.join(PHANTOM_TASKS)}")
    for name, value, low, high in (("cases", cases, 1, MOST_CASES), ("seed", seed, 0, 2**32 - 1)):
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise SettingError(f"{name}: must be a whole number from {low} to {high}, got {value!r}")
    if not isinstance(size, int | float) or isinstance(size, bool) or not SMALLEST_SIZE <= size <= LARGEST_SIZE:
        raise SettingError(f"size: must be a number from {SMALLEST_SIZE} to {LARGEST_SIZE:g}, got {size!r}")


def _make_case(task: PhantomTask, rng: np.random.Generator, size: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image (C, X, Y, Z), label (X, Y, Z), their axes along `task.directions`, and affine (4, 4)."""
    extent = [length * rng.uniform(0.92, 1.08) for length in task.extent]
    zoom = rng.uniform(0.95, 1.05)
    spacing = [mm * zoom / size if finer else mm for mm, finer in zip(task.spacing, task.finer, strict=True)]
    image, label = task.make(Room(rng, extent=extent, spacing=spacing))

    turn = tuple(slice(None, None, direction) for direction in task.directions)
    image, label = image[:, *turn], label[turn]
    steps = np.multiply(task.directions, spacing)
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = -steps * (np.array(label.shape) - 1) / 2  # the world's origin lies in the middle
    return image, label, affine


def _write_nifti(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


def _manifest(task: str, entries: list[dict[str, str]]) -> dict[str, object]:
    modalities, labels = PHANTOM_TASKS[task].modalities, PHANTOM_TASKS[task].labels
    return {
        "name": f"Phantom{task.capitalize()}",
        "description": f"Generated {task} volumes; no patient's data",
        "reference": "voxtune",
        "licence": "CC0 1.0",
        "release": "1.0",
        "tensorImageSize": "3D" if len(modalities) == 1 else "4D",
        "modality": {str(channel): name for channel, name in enumerate(modalities)},
        "labels": {"0": "background"} | {str(value): name for value, name in labels.items()},
        "numTraining": len(entries),
        "numTest": 0,
        "training": entries,
        "test": [],
    }
