"""The files of one case, read together: as many channels as declared, and all of them on the same voxels."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainables.dataset import Case, Dataset, ImageFiles
from trainables.errors import DatasetError
from trainables.volume_file import NiftiFile, by, header_of, image_memory, read_image, to_image, to_label

MOST_LABEL_SHIFT = 0.5
"""Voxels by which a label's affine may put it away from its image: less changes nothing about which voxel is which."""

MOST_CHANNEL_SHIFT = 0.1
"""Voxels by which channels may lie apart: programs that write affines round them."""

SWAPPED = "; are the columns image and label swapped?"
"""Asked where a table's label is none, and its image could be one."""


@dataclass(frozen=True, kw_only=True)
class CheckedCase:
    """One case in memory; it keeps every rule of `read_case`."""

    name: str
    image: np.ndarray
    """(C, X, Y, Z) float32, all finite; axes as in the file."""

    label: np.ndarray
    """(X, Y, Z) uint8 or uint16."""

    affine: np.ndarray
    """(4, 4) of the image: voxel indices to mm in RAS."""

    label_voxels: dict[int, int]
    """How many voxels each declared label has, absent ones with 0; where none are, 0 and each that is there."""

    content_hash: str
    """SHA-256 over the bytes of all files, hex."""


def read_channels(image: ImageFiles) -> tuple[np.ndarray, np.ndarray]:
    """The image (C, X, Y, Z) float32 and its affine (4, 4), that of its first file, as `read_image` gives them.

    Raises DatasetError as that does, and where one of several files holds more than a channel, or lies on other voxels.
    """
    if len(image.files) == 1:
        return read_image(image.files[0])
    array, affine, _ = _stacked(image.files)
    return array, affine


def read_case(dataset: Dataset, case: Case) -> CheckedCase:
    """Read all files of a case and see that they fit each other and what the data set declares.

    Besides the rules of `read_channels` and `read_label`: as many channels as modalities, image and label of the same
    shape and place, every label value declared, if any is. Raises DatasetError.
    """
    image, affine, digest = _stacked(case.image.files)
    label_file = NiftiFile.read(case.label)
    try:
        label, label_affine = to_label(label_file)
    except DatasetError as error:
        swapped = dataset.source == dataset.manifest and _may_be_label(image)
        raise DatasetError(f"{error}{SWAPPED if swapped else ''}") from None
    first = case.image.files[0]
    if len(image) != len(dataset.modalities):
        raise DatasetError(
            f"{case.image}: has {len(image)} channels, but {dataset.manifest.name} declares {len(dataset.modalities)} "
            f"({', '.join(dataset.modalities)})"
        )
    if image.shape[1:] != label.shape:
        raise DatasetError(
            f"{case.label}: shape {by(label.shape)} differs from {by(image.shape[1:])} of its image {first.name}"
        )
    shift = _largest_shift(affine, label_affine, label.shape)
    if shift > MOST_LABEL_SHIFT:
        raise DatasetError(
            f"{case.label}: its affine puts it up to {shift:.3g} voxels away from its image {first.name}; "
            f"at most {MOST_LABEL_SHIFT} is taken for rounding"
        )
    return CheckedCase(
        name=case.name,
        image=image,
        label=label,
        affine=affine,
        label_voxels=_count_labels(dataset, case.label, label),
        content_hash=hashlib.sha256(digest + label_file.digest).hexdigest(),
    )


def reading_memory(case: Case) -> int:
    """About how many bytes `read_case` takes at its peak for this case, 0 if its image can't be read.

    An image as `image_memory` says; label, masks and counts take about ten bytes a voxel more.
    """
    headers = [header for file in case.image.files if (header := header_of(file)) is not None]
    if not headers:
        return 0  # reading it will say what is wrong
    return sum(map(image_memory, headers)) + math.prod(headers[0].get_data_shape()[:3]) * 10


def _stacked(files: Sequence[Path]) -> tuple[np.ndarray, np.ndarray, bytes]:
    """Image (C, X, Y, Z), affine (4, 4) and the files' digests, one after another."""
    first = NiftiFile.read(files[0])
    image, affine = to_image(first)
    if len(files) == 1:
        return image, affine, first.digest
    _check_single(files[0], image)
    shape = image.shape[1:]
    # In memory as a file that holds all channels is: x runs fastest, channels slowest.
    stack = np.moveaxis(np.empty((*shape, len(files)), np.float32, order="F"), 3, 0)
    stack[0], digest = image[0], first.digest
    del image
    for channel, path in enumerate(files[1:], start=1):
        file = NiftiFile.read(path)
        image, other = to_image(file)
        _check_single(path, image)
        if image.shape[1:] != shape:
            raise DatasetError(
                f"{path}: shape {by(image.shape[1:])} differs from {by(shape)} of {files[0].name}, another channel of "
                "the same image"
            )
        shift = _largest_shift(affine, other, shape)
        if shift > MOST_CHANNEL_SHIFT:
            raise DatasetError(
                f"{path}: its affine puts it up to {shift:.3g} voxels away from {files[0].name}, another channel of "
                f"the same image; at most {MOST_CHANNEL_SHIFT} is taken for rounding: resample one to the other"
            )
        stack[channel] = image[0]
        digest += file.digest
    return stack, affine, digest


def _check_single(path: Path, image: np.ndarray) -> None:
    if len(image) != 1:
        raise DatasetError(f"{path}: holds {len(image)} channels, but is one channel of an image of several files")


def _largest_shift(affine: np.ndarray, other: np.ndarray, shape: tuple[int, ...]) -> float:
    """How far, in voxels of the first, the second affine moves a corner of the volume.

    Below half a voxel, nearest-neighbour resampling of one on the other's grid changes nothing.
    """
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], [1], indexing="ij")).reshape(4, -1)
    moved = np.linalg.inv(affine) @ other @ corners
    return float(np.abs(moved - corners).max())


def _may_be_label(image: np.ndarray) -> bool:
    """Whether an image (C, X, Y, Z) has nothing but a few whole numbers."""
    return len(image) == 1 and image.min() >= 0 and image.max() < 256 and bool((image == np.rint(image)).all())


def _count_labels(dataset: Dataset, path: Path, label: np.ndarray) -> dict[int, int]:
    values = np.iinfo(label.dtype).max + 1
    counts = np.zeros(values, np.int64)
    for index in range(label.shape[2]):  # slice by slice: bincount copies what it counts to eight bytes a voxel
        counts += np.bincount(label[:, :, index].ravel(order="K"), minlength=values)
    found = [int(value) for value in np.flatnonzero(counts)]
    if not dataset.labels:
        return {value: int(counts[value]) for value in sorted({0, *found})}
    if strange := [value for value in found if value not in dataset.labels]:
        raise DatasetError(
            f"{path}: {int(counts[strange].sum())} voxels have the label {', '.join(map(str, strange[:10]))}; "
            f"{dataset.manifest.name} declares {', '.join(map(str, dataset.labels))}"
        )
    return {value: int(counts[value]) if value < values else 0 for value in dataset.labels}
