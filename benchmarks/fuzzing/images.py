"""NIfTI files, as images and as labels: their header's fields, their voxels, and the gzip around them."""

import gzip
import io
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from make_data import blob_case
from make_model import make_model

from fuzzing.good import SHAPE, dataset
from fuzzing.guard import Subject
from fuzzing.values import garbled
from trainables.case_files import reading_memory
from trainables.case_fingerprint import measure_case
from trainables.dataset import Case, ImageFiles
from trainables.errors import DatasetError
from trainables.image_files import find_images
from trainables.model_file import Model
from trainables.prediction import predict_files, read_for
from trainables.predictor import Predictor
from trainables.volume_file import read_header

DTYPES = ("u1", "i1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f4", "<f8", "<c8")

WHOLE = (0, 1, -1, 2, 3, 4, 5, 7, 8, 255, 256, 512, 1024, 30000, 32767, -32768, 2**31 - 1, -(2**31), 2**62, -(2**63))
REAL = (0.0, -0.0, 1.0, -1.0, 0.5, 3.0, 344.0, 352.0, 1e-45, 1e-20, 1e6, 1e20, 3e38, float("inf"), float("nan"))

_FIELDS = (
    *("sizeof_hdr", "dim", "dim", "dim", "datatype", "bitpix", "pixdim", "pixdim", "vox_offset", "scl_slope"),
    *("scl_inter", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z", "magic", "xyzt_units", "intent_code", "cal_max", "dim_info", "slice_code"),
)

MOST_VOXELS = 200_000
"""Of a prepared image that is labelled too: larger ones, of a few voxels that say to be metres, take long by rights."""

File = tuple[str, bytes]
"""A suffix and the content."""


@cache
def _good(label: bool, kind: str, dtype: str, channels: int) -> bytes:
    image, truth = blob_case(1, shape=SHAPE, channels=channels)
    array = truth if label else image
    if dtype.endswith("c8"):
        array = array.astype(np.float32)
    made: Any = nib.Nifti1Image if kind == "n+1" else nib.Nifti2Image
    file = made(array.astype(np.dtype(dtype)), np.eye(4), dtype=np.dtype(dtype))
    return bytes(file.to_bytes())


@st.composite
def nifti_files(draw: DrawFn, *, label: bool) -> File:
    """Good ones with a few changes of header, voxels, bytes or gzip."""
    kind = draw(st.sampled_from(("n+1", "n+1", "n+2")))
    content = _good(label, kind, draw(st.sampled_from(DTYPES)), draw(st.sampled_from((1, 1, 1, 2))))
    content = _with_fields(draw, content, kind)
    start = 352 if kind == "n+1" else 544
    match draw(st.sampled_from(("as it is", "as it is", "voxels", "bytes", "extension"))):
        case "voxels":
            content = content[:start] + draw(garbled(content[start:], tokens=_ODD_VOXELS))
        case "bytes":
            content = draw(garbled(content, tokens=_ODD_VOXELS))
        case "extension":
            size, code = draw(st.sampled_from(WHOLE)), draw(st.sampled_from(WHOLE))
            head = (size & 0xFFFFFFFF).to_bytes(4, "little") + (code & 0xFFFFFFFF).to_bytes(4, "little")
            content = content[: start - 4] + b"\1\0\0\0" + head + content[start:]
    if draw(st.booleans()):
        return ".nii", content
    return ".nii.gz", _zipped(draw, content)


_ODD_VOXELS = tuple(np.array([value], dtype).tobytes() for value in (1e30, np.nan, np.inf, -1, 0.5) for dtype in "fd")


def _with_fields(draw: DrawFn, content: bytes, kind: str) -> bytes:
    """A few of the header's fields changed, as they are, whatever they mean."""
    head = nib.Nifti1Header if kind == "n+1" else nib.Nifti2Header
    size = head.template_dtype.itemsize
    header = np.frombuffer(content[:size], head.template_dtype).copy()
    for _ in range(draw(st.integers(0, 3))):
        field = header[draw(st.sampled_from(_FIELDS))]
        place = (0,) if field.ndim == 1 else (0, draw(st.integers(0, field.shape[1] - 1)))
        if field.dtype.kind == "S":
            field[place] = draw(st.binary(max_size=4))
        elif field.dtype.kind == "f":
            field[place] = draw(st.one_of(st.sampled_from(REAL), st.floats(width=32)))
        else:
            bounds = np.iinfo(field.dtype)
            number = draw(st.one_of(st.sampled_from(WHOLE), st.integers(-10, 300)))
            field[place] = min(max(number, bounds.min), bounds.max)
    if draw(st.integers(0, 9)) == 0:
        header = header.byteswap()
    return header.tobytes() + content[size:]


def _zipped(draw: DrawFn, content: bytes) -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as file:
        file.write(content)
        if draw(st.integers(0, 19)) == 0:
            file.write(bytes(2**21))  # more than the header promises
    match draw(st.sampled_from(("as it is", "as it is", "as it is", "bytes", "members", "none"))):
        case "bytes":
            return draw(garbled(packed.getvalue()))
        case "members":
            half = len(content) // 2
            return gzip.compress(content[:half], mtime=0) + draw(st.binary(max_size=8)) + gzip.compress(content[half:])
        case "none":
            return content
    return packed.getvalue()


@cache
def _model() -> Model:
    return make_model(modalities=("MRI",))


@cache
def _predictor() -> Predictor:
    return Predictor([_model()], device="cpu")


def _use_image(given: File, folder: Path) -> None:
    """As `voxtune predict` does."""
    suffix, content = given
    image = folder / f"image{suffix}"
    image.write_bytes(content)
    (files,) = images = find_images([image], modalities=_model().modalities)
    if _voxels(files) > MOST_VOXELS:
        return
    outcome = predict_files([_model()], images, folder / "labels", device="cpu")
    for problem in outcome.failed.values():
        raise DatasetError(problem)
    (file,) = outcome.written
    label, whole = (read_header(path).get_data_shape() for path in (file, image))
    assert label == whole[:3], f"the label's shape is {label}, the image's {whole}"


def _voxels(image: ImageFiles) -> int:
    """Of an image as the network would see it; 0 where it is refused, as prediction then says."""
    try:
        prepared, _ = read_for(_predictor(), image)
    except MemoryError:
        return 0
    sides = (zip(volume.shape[1:], _model().patch_size, strict=True) for volume, _ in prepared.values())
    return max(prod(max(pair) for pair in pairs) for pairs in sides)  # thin ones are padded to the patch


def _use_pair(given: tuple[File, bool], folder: Path) -> None:
    """As the check of a data set does, with a good image beside a label or the other way round."""
    (suffix, content), is_label = given
    file = folder / f"case_001{suffix}"
    file.write_bytes(content)
    good = dataset().cases[0]
    case = Case(good.image, file) if is_label else Case(ImageFiles.of(file), good.label)
    reading_memory(case)
    measure_case(dataset(), case)


SUBJECTS = (
    Subject(
        name="image to label",
        inputs=lambda: nifti_files(label=False),
        use=_use_image,
        good=lambda: (".nii", _good(False, "n+1", "<f4", 1)),
        examples=40,
    ),
    Subject(
        name="image of a data set",
        inputs=lambda: st.tuples(nifti_files(label=False), st.just(False)),
        use=_use_pair,
        good=lambda: ((".nii", _good(False, "n+1", "<f4", 1)), False),
        examples=80,
    ),
    Subject(
        name="label of a data set",
        inputs=lambda: st.tuples(nifti_files(label=True), st.just(True)),
        use=_use_pair,
        good=lambda: ((".nii", _good(True, "n+1", "u1", 1)), True),
        examples=80,
    ),
)
