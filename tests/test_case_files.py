"""The files of a case: what they must have in common, and channels that lie in files of their own."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from make_data import blob_case, write_dataset, write_nifti
from make_layouts import write_nnunet, write_table

from trainables.case_files import read_case, read_channels, reading_memory
from trainables.dataset import Case, Dataset, ImageFiles
from trainables.errors import DatasetError
from trainables.layouts import read_dataset
from trainables.volume_file import read_image

AFFINE = np.array([[-2.0, 0, 0, 10], [0, 0, 3, -5], [0, 1, 0, 7], [0, 0, 0, 1]])


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return read_dataset(write_dataset(tmp_path / "Blobs", cases=1, shape=(6, 7, 8), channels=2, affine=AFFINE))


def case_message(dataset: Dataset) -> str:
    with pytest.raises(DatasetError) as caught:
        read_case(dataset, dataset.cases[0])
    return str(caught.value)


def test_a_good_case(dataset: Dataset) -> None:
    (case,) = dataset.cases
    read = read_case(dataset, case)
    assert (read.name, read.image.shape, read.label.shape) == ("case_001", (2, 6, 7, 8), (6, 7, 8))
    np.testing.assert_array_equal(read.affine, AFFINE)
    label = np.asarray(nib.load(case.label).dataobj)  # type: ignore[attr-defined]
    assert read.label_voxels == {value: int((label == value).sum()) for value in range(3)}
    assert min(read.label_voxels.values()) > 0
    digests = [hashlib.sha256(path.read_bytes()).digest() for path in case.files]
    assert read.content_hash == hashlib.sha256(b"".join(digests)).hexdigest()


def test_as_many_channels_as_modalities(dataset: Dataset) -> None:
    image = dataset.cases[0].image.files[0]
    write_nifti(image, np.zeros((6, 7, 8, 3), np.float32))
    assert case_message(dataset) == f"{image}: has 3 channels, but dataset.json declares 2 (MRI, MRI)"


def test_image_and_label_have_one_shape(dataset: Dataset) -> None:
    label = dataset.cases[0].label
    write_nifti(label, np.zeros((6, 8, 7), np.uint8), affine=AFFINE)
    assert case_message(dataset) == f"{label}: shape 6 x 8 x 7 differs from 6 x 7 x 8 of its image case_001.nii.gz"


def test_image_and_label_lie_in_one_place(dataset: Dataset) -> None:
    label = dataset.cases[0].label
    moved = AFFINE.copy()
    moved[1, 3] += 0.49 * 3  # file axis 2 runs along y, 3 mm a voxel
    write_nifti(label, np.zeros((6, 7, 8), np.uint8), affine=moved)
    assert read_case(dataset, dataset.cases[0]).label_voxels == {0: 336, 1: 0, 2: 0}
    moved[1, 3] += 3
    write_nifti(label, np.zeros((6, 7, 8), np.uint8), affine=moved)
    assert case_message(dataset) == (
        f"{label}: its affine puts it up to 1.49 voxels away from its image case_001.nii.gz; "
        "at most 0.5 is taken for rounding"
    )


def test_a_slight_turn_counts_where_it_is_largest(dataset: Dataset) -> None:
    turned = AFFINE.copy()
    turned[0, 0] *= 1.2  # 5 voxels further along the axis, that is one voxel
    write_nifti(dataset.cases[0].label, np.zeros((6, 7, 8), np.uint8), affine=turned)
    assert "up to 1 voxels away" in case_message(dataset)


def test_columns_of_a_table_that_are_swapped_are_asked_about(tmp_path: Path) -> None:
    table = write_table(write_dataset(tmp_path / "Blobs", cases=1, shape=(6, 7, 8)), tmp_path / "table")
    table.write_text("image,label\ncase_001_label.nii.gz,case_001-0.nii.gz\n")
    swapped = read_dataset(table)
    assert case_message(swapped).endswith("; labels must be; are the columns image and label swapped?")
    image, _ = blob_case(1, shape=(6, 7, 8))
    write_nifti(swapped.cases[0].image.files[0], image)
    assert case_message(swapped).endswith("; labels must be")  # not where the image is none of labels


def test_every_label_is_declared(dataset: Dataset) -> None:
    label = dataset.cases[0].label
    array = np.zeros((6, 7, 8), np.int16)
    array[0, 0, :3] = 7
    array[1, 1, 1] = 300
    write_nifti(label, array, affine=AFFINE)
    assert case_message(dataset) == f"{label}: 4 voxels have the label 7, 300; dataset.json declares 0, 1, 2"


def test_memory_for_reading_is_foreseen(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros((10, 20, 30, 2), np.int16))
    assert reading_memory(Case(ImageFiles.of(path), path)) == 10 * 20 * 30 * (2 * (2 + 2 + 4) + 10)
    path.write_bytes(path.read_bytes()[:40])
    assert reading_memory(Case(ImageFiles.of(path), path)) == 0
    assert reading_memory(Case(ImageFiles.of(tmp_path / "no.nii.gz"), path)) == 0


@pytest.fixture
def split(dataset: Dataset, tmp_path: Path) -> Dataset:
    """The same with a file for each channel."""
    return read_dataset(write_nnunet(dataset.source, tmp_path / "Dataset001_Blobs"))


def test_channels_in_files_of_their_own_are_read_as_one_volume(dataset: Dataset, split: Dataset) -> None:
    whole, (image, affine) = read_case(dataset, dataset.cases[0]), read_channels(split.cases[0].image)
    np.testing.assert_array_equal(image, whole.image)
    np.testing.assert_array_equal(affine, whole.affine)
    assert (image.dtype, image.strides) == (whole.image.dtype, whole.image.strides)
    read = read_case(split, split.cases[0])
    digests = [hashlib.sha256(path.read_bytes()).digest() for path in split.cases[0].files]
    assert read.content_hash == hashlib.sha256(b"".join(digests)).hexdigest()
    assert read.content_hash != whole.content_hash


def test_one_channel_may_have_a_fourth_axis(split: Dataset) -> None:
    second = split.cases[0].image.files[1]
    write_nifti(second, read_image(second)[0][0][..., None], affine=AFFINE)
    assert len(read_case(split, split.cases[0]).image) == 2


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (
            (6, 8, 7),
            "shape 6 x 8 x 7 differs from 6 x 7 x 8 of case_001_0000.nii.gz, another channel of the same image",
        ),
        ((6, 7, 8, 2), "holds 2 channels, but is one channel of an image of several files"),
    ],
)
def test_channels_have_one_shape(split: Dataset, shape: Sequence[int], expected: str) -> None:
    second = split.cases[0].image.files[1]
    write_nifti(second, np.zeros(shape, np.float32), affine=AFFINE)
    assert case_message(split) == f"{second}: {expected}"
    first = split.cases[0].image.files[0]
    if len(shape) == 4:
        write_nifti(first, np.zeros(shape, np.float32), affine=AFFINE)
        assert case_message(split) == f"{first}: {expected}"


def test_channels_lie_in_one_place(split: Dataset) -> None:
    second = split.cases[0].image.files[1]
    moved = AFFINE.copy()
    moved[1, 3] += 0.09 * 3  # file axis 2 runs along y, 3 mm a voxel
    write_nifti(second, np.zeros((6, 7, 8), np.float32), affine=moved)
    assert not read_case(split, split.cases[0]).image[1].any()
    moved[1, 3] += 3
    write_nifti(second, np.zeros((6, 7, 8), np.float32), affine=moved)
    assert case_message(split) == (
        f"{second}: its affine puts it up to 1.09 voxels away from case_001_0000.nii.gz, another channel of the same "
        "image; at most 0.1 is taken for rounding: resample one to the other"
    )


def test_labels_that_nobody_declared_are_counted(tmp_path: Path) -> None:
    image, label = blob_case(1)
    write_nifti(tmp_path / "a.nii", image)
    write_nifti(tmp_path / "l.nii", np.array([1, 301, 5], np.int16)[label])
    (tmp_path / "cases.csv").write_text("image,label\na.nii,l.nii\n")
    dataset = read_dataset(tmp_path / "cases.csv")
    assert read_case(dataset, dataset.cases[0]).label_voxels == {
        0: 0,
        1: int((label == 0).sum()),
        5: int((label == 2).sum()),
        301: int((label == 1).sum()),
    }


def test_a_table_has_as_many_channels_as_its_first_image(tmp_path: Path) -> None:
    for name, channels in (("a", 2), ("b", 3)):
        image, label = blob_case(1, channels=channels)
        write_nifti(tmp_path / f"{name}.nii", image)
        write_nifti(tmp_path / f"{name}_label.nii", label)
    (tmp_path / "cases.csv").write_text("image,label\na.nii,a_label.nii\nb.nii,b_label.nii\n")
    dataset = read_dataset(tmp_path / "cases.csv")
    with pytest.raises(DatasetError) as caught:
        read_case(dataset, dataset.cases[1])
    assert str(caught.value) == (f"{tmp_path}/b.nii: has 3 channels, but cases.csv declares 2 (channel_0, channel_1)")
