"""Data sets of many cases, and of large ones, made up."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy.ndimage import zoom

from trainables.phantom import write_phantom

LARGE = (512, 512, 400)
LARGE_SPACING = (0.8, 0.8, 1.0)


def write_many(folder: Path, count: int) -> None:
    """So many cases, by generated ones under several names each."""
    generated = min(count, 500)
    write_phantom(folder, cases=generated, size=0.25)
    manifest = json.loads((folder / "dataset.json").read_text())
    first = list(manifest["training"])
    for turn in range(1, -(-count // generated)):
        for entry in first[: count - turn * generated]:
            again = {part: file.replace(".nii.gz", f"_{turn}.nii.gz") for part, file in entry.items()}
            for part, file in again.items():
                (folder / file).hardlink_to(folder / entry[part])
            manifest["training"].append(again)
    manifest["numTraining"] = len(manifest["training"])
    (folder / "dataset.json").write_text(json.dumps(manifest))


def write_large(folder: Path, count: int) -> None:
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    affine = np.diag([*LARGE_SPACING, 1.0])
    entries = []
    for number in range(count):
        random = np.random.default_rng(number)
        coarse = random.normal(0, 1, (8, 8, 7))
        smooth = zoom(coarse, [size / part for size, part in zip(LARGE, coarse.shape, strict=True)], order=1)
        label = (smooth > 1.2).astype(np.uint8)
        image = (100 * smooth + 200 * label).astype(np.int16)
        image += random.integers(-20, 20, image.shape, np.int16)
        name = f"large_{number:03d}.nii.gz"
        for part, array in (("imagesTr", image), ("labelsTr", label)):
            nib.save(nib.Nifti1Image(array, affine), folder / part / name)
        entries.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    manifest = {"name": "Large", "modality": {"0": "CT"}, "labels": {"0": "background", "1": "organ"}}
    (folder / "dataset.json").write_text(json.dumps({**manifest, "numTraining": count, "training": entries}))


def voxels_of(data: Path) -> str:
    image: Any = nib.load(next(iter(sorted((data / "imagesTr").iterdir()))))
    return "x".join(map(str, image.shape))
