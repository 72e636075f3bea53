"""What a NIfTI file must keep, with the message for each broken rule."""

import gzip
import os
import re
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from make_data import write_nifti

from trainables.errors import DatasetError
from trainables.volume_file import read_image, read_label

RAMP = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
AFFINE = np.array([[-2.0, 0, 0, 10], [0, 0, 3, -5], [0, 1, 0, 7], [0, 0, 0, 1]])


def message(read: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        read(path)
    return str(caught.value)


@pytest.mark.parametrize("name", ["ramp.nii.gz", "ramp.nii"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_an_image_of_three_dimensions_has_one_channel(tmp_path: Path, name: str, kind: type[nib.Nifti1Image]) -> None:
    nib.save(kind(RAMP, AFFINE), tmp_path / name)
    image, affine = read_image(tmp_path / name)
    assert (image.dtype, image.shape) == (np.float32, (1, 2, 3, 4))
    np.testing.assert_array_equal(image[0], RAMP)
    np.testing.assert_array_equal(affine, AFFINE)


def test_channels_come_first(tmp_path: Path) -> None:
    image, _ = read_image(write_nifti(tmp_path / "two.nii.gz", np.stack([RAMP, RAMP + 100], axis=-1)))
    np.testing.assert_array_equal(image, [RAMP, RAMP + 100])


def test_intensities_are_scaled_as_the_header_says(tmp_path: Path) -> None:
    file = nib.Nifti1Image(RAMP, AFFINE)
    file.header.set_slope_inter(0.5, -1024)
    nib.save(file, tmp_path / "ct.nii.gz")
    stored = nib.load(tmp_path / "ct.nii.gz").dataobj.get_unscaled()  # type: ignore[attr-defined]
    image, _ = read_image(tmp_path / "ct.nii.gz")
    np.testing.assert_allclose(image[0], stored * 0.5 - 1024)


def test_big_endian_files_are_read(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(RAMP, AFFINE, nib.Nifti1Header(endianness=">")), tmp_path / "b.nii")
    assert (tmp_path / "b.nii").read_bytes()[:4] == struct.pack(">i", 348)
    np.testing.assert_array_equal(read_image(tmp_path / "b.nii")[0][0], RAMP)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_labels_become_bytes(tmp_path: Path, dtype: type) -> None:
    label, affine = read_label(write_nifti(tmp_path / "l.nii.gz", (RAMP % 3).astype(dtype), affine=AFFINE))
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, RAMP % 3)
    np.testing.assert_array_equal(affine, AFFINE)


def test_large_labels_and_a_last_axis_of_one(tmp_path: Path) -> None:
    label, _ = read_label(write_nifti(tmp_path / "l.nii.gz", (RAMP * 50)[..., None]))
    assert label.dtype == np.uint16
    np.testing.assert_array_equal(label, RAMP * 50)


@pytest.mark.parametrize("read", [read_image, read_label])
def test_damaged_files(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = write_nifti(tmp_path / "a.nii.gz", np.random.default_rng(0).integers(0, 200, (20, 20, 20)).astype(np.uint8))
    good = path.read_bytes()
    inflated = gzip.decompress(good)
    assert message(read, tmp_path / "no.nii.gz") == f"{tmp_path}/no.nii.gz: no such file"
    assert message(read, tmp_path) == f"{tmp_path}: can't be read: Is a directory"
    for content, expected in [
        (good[: len(good) // 2], "ends too early (truncated gzip); copy it again"),
        (good[:-4], "ends too early (truncated gzip); copy it again"),
        (
            good[:-8] + b"\0\0\0\0" + good[-4:],
            "not a gzip file, or a damaged one: Error -3 while decompressing data: incorrect data check",
        ),
        (
            good[:60] + b"\xff" * 400 + good[460:],
            "not a gzip file, or a damaged one: Error -3 while decompressing data: in",
        ),
        (inflated, "not a gzip file, or a damaged one: Error -3 while decompressing data: incorrect header check"),
        (b"", "is empty; copy it again"),
        (gzip.compress(b"hello"), "not a NIfTI file"),
        (gzip.compress(b"x" * 10_000), "not a NIfTI file"),
        (gzip.compress(inflated[:-100]), "ends too early: its header promises 8352 bytes, there are 8252"),
        (gzip.compress(inflated[:344] + b"ni1\0" + inflated[348:]), "not a NIfTI file"),
    ]:
        path.write_bytes(content)
        assert message(read, path).startswith(f"{path}: {expected}")


def test_a_small_file_can_not_fill_the_memory(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii.gz", RAMP)
    honest = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(honest) + 25 * gzip.compress(bytes(8 * 2**20), compresslevel=1))
    tracemalloc.start()
    try:
        told = message(read_image, path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert told == f"{path}: inflates to far more than the 400 bytes that its header promises"
    assert peak < 20 * 2**20

    huge = honest[:40] + struct.pack("<4h", 3, 30000, 30000, 30000) + honest[48:]
    for content, name in ((gzip.compress(huge), "a.nii.gz"), (huge, "sparse.nii")):
        path = tmp_path / name
        path.write_bytes(content)
        if path.suffix == ".nii":
            os.truncate(path, 2**40)  # takes no room on the disk
        assert re.fullmatch(
            r".*: to be read it takes [\d,]+\.\d GiB of memory, and this machine has [\d.]+", message(read_image, path)
        )


def test_several_gzip_members_and_what_pads_them(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii.gz", np.random.default_rng(0).integers(0, 200, (60, 60, 60)).astype(np.uint8))
    inflated = gzip.decompress(path.read_bytes())
    expected = read_image(path)[0]
    parts = [gzip.compress(inflated[start : start + 50_000]) for start in range(0, len(inflated), 50_000)]
    for content in (b"".join(parts), parts[0] + bytes(100_000) + b"".join(parts[1:]) + bytes(1_000)):
        path.write_bytes(content)
        np.testing.assert_array_equal(read_image(path)[0], expected)
    path.write_bytes(b"".join(parts)[:-1])
    assert message(read_image, path).endswith("ends too early (truncated gzip); copy it again")


@pytest.mark.parametrize("read", [read_image, read_label])
def test_headers_that_make_no_sense(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = write_nifti(tmp_path / "a.nii", RAMP)
    good = path.read_bytes()

    def with_bytes(offset: int, form: str, *values: float) -> str:
        packed = struct.pack("<" + form, *values)
        path.write_bytes(good[:offset] + packed + good[offset + len(packed) :])
        return message(read, path).removeprefix(f"{path}: ")

    assert with_bytes(40, "4h", 3, 0, 3, 4) == "shape 0 x 3 x 4 holds no voxel"
    assert with_bytes(40, "4h", 3, -2, 3, 4) == "shape -2 x 3 x 4 holds no voxel"
    assert with_bytes(40, "4h", 3, 30000, 30000, 30000) == (
        "ends too early: its header promises 54000000000352 bytes, there are 400"
    )
    assert with_bytes(70, "h", 128).startswith(
        "voxels are of type [('R', 'u1'), ('G', 'u1'), ('B', 'u1')]; they must be"
    )
    assert with_bytes(70, "h", 32).startswith("voxels are of type complex64; they must be real numbers")
    assert with_bytes(70, "h", 7777).startswith("not a readable NIfTI file: ")
    path.write_bytes(good[:4] + b"n+2\0" + good[8:344])  # says NIfTI-2, and ends within its header
    assert message(read, path) == f"{path}: not a readable NIfTI file: Binary block is wrong size"
    for row in ((0.0, 0.0, 0.0, 9.0), (float("nan"), 0.0, 0.0, 9.0), (0.0, 1.0, 0.0, 0.0)):  # of y: (0, 1, 0, 0)
        found = with_bytes(280, "4f", *row)
        assert found == f"its affine {[list(row), [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]} gives the voxels no size"
    assert with_bytes(280, "4f", 1e-9, 0.0, 0.0, 9.0).endswith("gives the voxels no size")  # it has no inverse


@pytest.mark.parametrize(("unit", "name"), [("meter", "metres"), ("micron", "microns")])
def test_sizes_that_are_not_in_mm(tmp_path: Path, unit: str, name: str) -> None:
    image = nib.Nifti1Image(np.ones((4, 5, 6), np.int16), np.diag([0.001, 0.001, 0.001, 1]))
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "image.nii.gz")
    for read in (read_image, read_label):
        assert message(read, tmp_path / "image.nii.gz").endswith(
            f"image.nii.gz: its header has sizes in {name} (xyzt_units); write them in mm"
        )


@pytest.mark.parametrize(
    ("shape", "image", "label"),
    [
        ((4, 5), "shape 4 x 5; an image has 3 dimensions, or 4 with its channels last", "a label has 3 dimensions"),
        ((2, 3, 4, 5), None, "shape 2 x 3 x 4 x 5; a label has 3 dimensions"),
        ((2, 3, 4, 1, 5), "shape 2 x 3 x 4 x 1 x 5; an image has 3 dimensions", "a label has 3 dimensions"),
    ],
)
def test_dimensions(tmp_path: Path, shape: tuple[int, ...], image: str | None, label: str) -> None:
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros(shape, np.uint8))
    assert label in message(read_label, path)
    if image is None:
        assert read_image(path)[0].shape == (5, 2, 3, 4)
    else:
        assert image in message(read_image, path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_every_voxel_of_an_image_is_finite(tmp_path: Path, bad: float) -> None:
    array = RAMP.astype(np.float32)
    array[0, 1, 2] = array[1, 0, 0] = bad
    path = write_nifti(tmp_path / "a.nii.gz", array)
    assert message(read_image, path) == f"{path}: 2 of 24 voxels are NaN or infinite; all must be finite"


@pytest.mark.filterwarnings("error")
def test_what_float32_cannot_hold_is_infinite(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii.gz", RAMP * 1e300)
    assert message(read_image, path) == f"{path}: 23 of 24 voxels are NaN or infinite; all must be finite"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.5, "1 voxels are not whole numbers, e.g. 1.5; labels must be"),
        (np.nan, "1 voxels are not whole numbers, e.g. nan; labels must be"),
        (-1, "-1 is no label; labels are whole numbers from 0 to 65535"),
        (65536, "65536 is no label; labels are whole numbers from 0 to 65535"),
        (np.inf, "inf is no label; labels are whole numbers from 0 to 65535"),
    ],
)
def test_labels_are_whole_numbers(tmp_path: Path, value: float, expected: str) -> None:
    array = np.zeros((2, 3, 4), np.float32)
    array[1, 1, 1] = value
    path = write_nifti(tmp_path / "l.nii.gz", array)
    assert message(read_label, path) == f"{path}: {expected}"
