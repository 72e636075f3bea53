"""What one NIfTI file holds: reads images and labels as arrays and refuses what can't be trained on, with clear errors.

A file is read from disk once and inflated from memory: its content hash comes from the same bytes, the gzip checksum is
verified, and zlib works outside Python's global lock, so that threads read side by side. It may come from anyone: one
that would not fit into memory is refused by its header, before it is inflated (`gzip_file.py`).
"""

import gzip
import hashlib
import math
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from trainables.dataset import LARGEST_LABEL
from trainables.errors import DatasetError
from trainables.gzip_file import inflate
from trainables.machine_memory import past_memory

HEADER_BYTES = 540
"""Of the longer one, NIfTI-2's."""

TRAILING_BYTES = 2**20
"""That may follow the voxels: some programs pad."""

SMALLEST_VOXEL = 1e-6
"""mm; an affine of smaller ones may have no inverse."""

_BROKEN_HEADER = (ImageFileError, HeaderDataError, WrapStructError, KeyError, ValueError, OverflowError)
"""What nibabel raises for a header that makes no sense."""


_OTHER_UNITS = {1: "metres", 3: "microns"}
"""Of NIfTI's codes for the unit of space; 2 is mm, and 0, unknown, is mm in practice."""


def read_image(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The image (C, X, Y, Z) float32, scaled as its header says, and its affine (4, 4), voxel indices to mm in RAS.

    A file of three dimensions has one channel; one of four has its channels last. Raises DatasetError if the file can't
    be read, is damaged, is no NIfTI, has other dimensions, or holds NaN or infinite voxels.
    """
    return to_image(NiftiFile.read(path))


def read_label(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The label (X, Y, Z) uint8 (uint16 where a value is past 255) and its affine (4, 4).

    Raises DatasetError as `read_image` does, or if a voxel is not a whole number from 0 to 65535.
    """
    return to_label(NiftiFile.read(path))


def header_of(path: Path) -> nib.Nifti1Header | None:
    """What a file says of its voxels; None if it can't be read, of which reading it will say what is wrong."""
    try:
        return read_header(path)
    except DatasetError:
        return None


def read_header(path: Path) -> nib.Nifti1Header:
    """The header alone, by the rules of `read_image`: not by nibabel's guess at what kind of file it is.

    Raises DatasetError where it can't be read.
    """
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
            kind = _kind_of(path, file.read(HEADER_BYTES))
            file.seek(0)
            header = kind.header_class.from_fileobj(file)
            image_memory(header)  # its shape and type can be told
            return header
    except (OSError, EOFError, zlib.error, *_BROKEN_HEADER) as error:
        raise DatasetError(f"{path}: can't be read: {error}") from None


def image_memory(header: nib.Nifti1Header) -> int:
    """Bytes that it takes to read an image: inflated, as an array, both as the file has it, and in float32."""
    return math.prod(header.get_data_shape()) * (2 * header.get_data_dtype().itemsize + 4)


@dataclass(frozen=True)
class NiftiFile:
    """A file in memory, inflated."""

    path: Path
    image: nib.Nifti1Image
    digest: bytes
    """SHA-256 of the file's bytes as they lie on disk."""

    @classmethod
    def read(cls, path: Path) -> "NiftiFile":
        """Raises DatasetError if it can't be read, is damaged, is no NIfTI, or takes more memory than there is."""
        try:
            with path.open("rb") as file:
                _check_memory(path, os.fstat(file.fileno()).st_size)
                content = file.read()
            data = _inflated(path, content) if path.name.endswith(".gz") else content
        except FileNotFoundError:
            raise DatasetError(f"{path}: no such file") from None
        except EOFError:
            raise DatasetError(f"{path}: ends too early (truncated gzip); copy it again") from None
        except zlib.error as error:
            raise DatasetError(f"{path}: not a gzip file, or a damaged one: {error}") from None
        except OSError as error:
            raise DatasetError(f"{path}: can't be read: {error.strerror}") from None
        return cls(path, _parse(path, data), hashlib.sha256(content).digest())


def _inflated(path: Path, content: bytes) -> bytes:
    """What the gzip `content` holds, so far as its header promises it and it fits into memory."""
    head = inflate(content, most=HEADER_BYTES)
    kind = _kind_of(path, head)
    try:
        header = kind.header_class(head[: kind.header_class.template_dtype.itemsize], check=False)
        voxels = header.get_data_dtype().itemsize * math.prod(header.get_data_shape())
        offset, memory = header.get_data_offset(), image_memory(header)
    except _BROKEN_HEADER:
        return head  # parsing it will say what is wrong
    _check_memory(path, offset + memory)
    most = max(0, offset + voxels) + TRAILING_BYTES
    data = inflate(content, most=most + 1)
    if len(data) > most:
        raise DatasetError(f"{path}: inflates to far more than the {offset + voxels} bytes that its header promises")
    return data


def _check_memory(path: Path, needed: int) -> None:
    """Raises DatasetError where reading a file takes more than this machine has."""
    if too_much := past_memory(needed):
        raise DatasetError(f"{path}: to be read it takes {too_much}")


def _kind_of(path: Path, data: bytes) -> type[nib.Nifti1Image]:
    if not data:
        raise DatasetError(f"{path}: is empty; copy it again")
    if data[344:348] == b"n+1\0":
        return nib.Nifti1Image
    if data[4:8] == b"n+2\0":
        return cast(type[nib.Nifti1Image], nib.Nifti2Image)
    raise DatasetError(f"{path}: not a NIfTI file")


def _parse(path: Path, data: bytes) -> nib.Nifti1Image:
    kind = _kind_of(path, data)
    try:
        image = kind.from_bytes(data)
    except _BROKEN_HEADER as error:
        raise DatasetError(f"{path}: not a readable NIfTI file: {error}") from None
    unit = int(image.header["xyzt_units"]) & 0b111
    if unit in _OTHER_UNITS:
        raise DatasetError(f"{path}: its header has sizes in {_OTHER_UNITS[unit]} (xyzt_units); write them in mm")
    dtype = image.get_data_dtype()
    if dtype.kind not in "iuf":
        raise DatasetError(f"{path}: voxels are of type {dtype}; they must be real numbers")
    if min(image.shape, default=0) < 1:
        raise DatasetError(f"{path}: shape {by(image.shape)} holds no voxel")
    needed = cast(ArrayProxy, image.dataobj).offset + dtype.itemsize * math.prod(image.shape)
    if len(data) < needed:
        raise DatasetError(f"{path}: ends too early: its header promises {needed} bytes, there are {len(data)}")
    # axes of no length, or (nearly) in one plane: no place in space, and no way back from it
    axes = image.affine[:3, :3]
    sizes = np.linalg.norm(axes, axis=0)
    sized = np.isfinite(image.affine).all() and sizes.min() > SMALLEST_VOXEL
    if not sized or abs(np.linalg.det(axes)) <= 1e-3 * np.prod(sizes):
        raise DatasetError(f"{path}: its affine {image.affine[:3].round(4).tolist()} gives the voxels no size")
    return image


def to_image(file: NiftiFile) -> tuple[np.ndarray, np.ndarray]:
    """As `read_image` gives it. Raises DatasetError for other dimensions, and voxels that are not finite."""
    shape = file.image.shape
    if len(shape) not in (3, 4):
        raise DatasetError(f"{file.path}: shape {by(shape)}; an image has 3 dimensions, or 4 with its channels last")
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is infinite, and told below
        array = file.image.get_fdata(dtype=np.float32, caching="unchanged")
    # minimum and maximum carry NaN and infinity along, without an array of truth values as large as the image.
    if not (np.isfinite(array.min()) and np.isfinite(array.max())):
        bad = array.size - np.count_nonzero(np.isfinite(array))
        raise DatasetError(f"{file.path}: {bad} of {array.size} voxels are NaN or infinite; all must be finite")
    return np.moveaxis(array[..., None] if array.ndim == 3 else array, 3, 0), file.image.affine


def to_label(file: NiftiFile) -> tuple[np.ndarray, np.ndarray]:
    """As `read_label` gives it. Raises DatasetError for other dimensions, and voxels that are no labels."""
    shape = file.image.shape
    if len(shape) != 3 and not (len(shape) == 4 and shape[3] == 1):
        raise DatasetError(f"{file.path}: shape {by(shape)}; a label has 3 dimensions")
    array = np.asanyarray(file.image.dataobj).reshape(shape[:3], order="F")
    if array.dtype.kind == "f":
        broken = array[array != np.rint(array)]
        if broken.size:
            raise DatasetError(
                f"{file.path}: {broken.size} voxels are not whole numbers, e.g. {broken[0]:g}; labels must be"
            )
    low, high = array.min(), array.max()
    if low < 0 or high > LARGEST_LABEL:
        value = low if low < 0 else high
        raise DatasetError(f"{file.path}: {value:g} is no label; labels are whole numbers from 0 to {LARGEST_LABEL}")
    return array.astype(np.uint8 if high < 256 else np.uint16, copy=False), file.image.affine


def by(shape: Iterable[object]) -> str:
    """`20 x 24 x 18`."""
    return " x ".join(map(str, shape))
