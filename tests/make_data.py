"""Lays tiny data sets in the Decathlon's layout, for tests."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np


def write_nifti(path: Path, array: np.ndarray, *, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


def blob_case(
    seed: int, *, shape: Sequence[int] = (20, 24, 18), channels: int = 1, classes: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """An image (X, Y, Z) or (X, Y, Z, C), float32, and its label (X, Y, Z): one bright ellipsoid, cut into classes."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    centre = [n / 2 + rng.uniform(-2, 2) for n in shape]
    radii = [n * rng.uniform(0.2, 0.3) for n in shape]
    inside = sum(((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True)) < 1
    label = np.where(inside, 1 + (axes[0] > centre[0]) * (classes > 1), 0).astype(np.uint8)
    noise = rng.normal(0, 0.3, (*shape, channels)).astype(np.float32)
    image = 100 + 20 * (label[..., None] + noise)
    return (image[..., 0] if channels == 1 else image).astype(np.float32), label


def write_dataset(
    folder: Path,
    *,
    cases: int = 6,
    shape: Sequence[int] = (20, 24, 18),
    channels: int = 1,
    classes: int = 2,
    modality: str = "MRI",
    affine: np.ndarray | None = None,
    manifest: Mapping[str, Any] | None = None,
) -> Path:
    """Write `cases` blobs named case_001, ...; `manifest` overrides keys of dataset.json. Returns the folder."""
    entries = []
    for number in range(1, cases + 1):
        image, label = blob_case(number, shape=shape, channels=channels, classes=classes)
        name = f"case_{number:03d}.nii.gz"
        write_nifti(folder / "imagesTr" / name, image, affine=affine)
        write_nifti(folder / "labelsTr" / name, label, affine=affine)
        entries.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    content = {
        "name": "Blobs",
        "tensorImageSize": "3D" if channels == 1 else "4D",
        "modality": {str(c): modality for c in range(channels)},
        "labels": {"0": "background"} | {str(c): f"class{c}" for c in range(1, classes + 1)},
        "numTraining": cases,
        "numTest": 0,
        "training": entries,
        "test": [],
    }
    (folder / "dataset.json").write_text(json.dumps(content | dict(manifest or {})))
    return folder
