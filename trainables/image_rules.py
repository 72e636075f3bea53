"""What an image must be for a model to label it, whichever model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from trainables.errors import DatasetError
from trainables.grid import Grid
from trainables.resampling import Shape
from trainables.volume_file import by, read_header

SPACING_TOLERANCE = 0.01
"""The share by which voxel sizes may differ between sform and qform: the latter's are rounded otherwise."""


def check_fit(files: Sequence[Path], image: np.ndarray, names: Sequence[str]) -> list[str]:
    """Sentences for the user on what is odd about `image` (C, X, Y, Z), read from `files`.

    `names`: of the channels that the model was trained on. Raises DatasetError where the image has others, is a plane
    or the same everywhere, or where its two affines put left, front and up, or the voxels' sizes, differently.
    """
    path = files[0]
    if len(image) != len(names):
        series = "; of a time series give one volume" if len(names) == 1 else ""
        raise DatasetError(
            f"{path}: has {len(image)} channels, the model was trained on {len(names)} ({', '.join(names)}){series}"
        )
    _, x, y, z = image.shape
    shape = (x, y, z)
    if min(shape) == 1:
        raise DatasetError(f"{path}: {by(shape)} voxels are a plane, the model labels volumes")
    flat = [name for name, channel in zip(names, image, strict=True) if channel.min() == channel.max()]
    if len(flat) == len(names):
        raise DatasetError(f"{path}: every voxel is {image.flat[0]:g}; there is nothing to label")
    notes = [f"its {name} is the same in every voxel" for name in flat]
    return notes + [note for file in files for note in _check_affines(file, shape)]


def check_order(place: Path, given: Sequence[str], trained: Sequence[str]) -> None:
    """Raises DatasetError where the channels that `place` names are those that a model was trained on, in other order.

    Other names are no reason to refuse them: one calls T1w what another calls T1.
    """
    if sorted(given) == sorted(trained) and list(given) != list(trained):
        raise DatasetError(
            f"{place}: has the channels {', '.join(given)}; the model takes {', '.join(trained)}, in this order"
        )


def _check_affines(path: Path, shape: Shape) -> list[str]:
    header = read_header(path)
    sform, qform = header.get_sform(coded=True)[0], _qform(header)
    if sform is None and qform is None:
        codes = "".join(nib.aff2axcodes(header.get_best_affine()))
        return [f"says nothing of how it lies (the codes of sform and qform are 0): taken for {codes}"]
    if sform is None or qform is None:
        return []
    ours, theirs = (Grid.of(shape, affine, target_spacing=(1, 1, 1)) for affine in (sform, qform))
    same = np.allclose(ours.spacing, theirs.spacing, rtol=SPACING_TOLERANCE)
    if (ours.axes, ours.flipped) != (theirs.axes, theirs.flipped) or not same:
        raise DatasetError(
            f"{path}: its sform says {_described(sform)}, its qform {_described(qform)}; make them agree, or set the "
            "code of the wrong one to 0"
        )
    return []


def _qform(header: Any) -> np.ndarray | None:
    """The qform's affine if its code says that it holds; None too where it is no rotation, which nothing can use."""
    try:
        affine = header.get_qform(coded=True)[0]
    except ValueError:
        return None
    return affine if affine is not None and np.isfinite(affine).all() else None


def _described(affine: np.ndarray) -> str:
    sizes = " x ".join(f"{mm:.3g}" for mm in nib.affines.voxel_sizes(affine))
    return f"{''.join(nib.aff2axcodes(affine))} with {sizes} mm"
