"""Which images are labelled, and under which names."""

from pathlib import Path

import pytest
from make_data import write_dataset

from trainables.dataset import ImageFiles
from trainables.errors import DatasetError, TrainableError
from trainables.image_files import find_images, label_files


def images(*files: Path) -> list[ImageFiles]:
    return list(map(ImageFiles.of, files))


def touch(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return [folder / name for name in names]


def test_a_folders_images_come_by_name(tmp_path: Path) -> None:
    b, a, _, _, _ = touch(tmp_path / "in", "b.nii.gz", "a.nii", "._a.nii", "notes.txt", "c.nii.gz.part")
    (tmp_path / "in" / "deeper.nii").mkdir()
    (extra,) = touch(tmp_path, "z.nii.gz")
    assert find_images([extra, tmp_path / "in", b], modalities=["MRI"]) == images(extra, a, b)  # b once


def test_a_data_sets_images_are_those_that_it_lists_and_its_test_images(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "Blobs", cases=2)
    touch(folder / "imagesTr", "not listed.nii.gz")
    assert [image.name for image in find_images([folder], modalities=["MRI"])] == ["case_001", "case_002"]
    touch(folder / "imagesTs", "case_003.nii.gz", "._case_003.nii.gz")
    assert [image.name for image in find_images([folder], modalities=["MRI"])][2:] == ["case_003"]


def test_what_is_not_there(tmp_path: Path) -> None:
    touch(tmp_path / "in", "label.mha")
    for given, problem in (
        (tmp_path / "none.nii", "no such file"),
        (tmp_path / "in", "holds no NIfTI file (.nii or .nii.gz)"),
    ):
        with pytest.raises(DatasetError) as caught:
            find_images([given], modalities=["MRI"])
        assert str(caught.value) == f"{given}: {problem}; nothing was computed"


def test_labels_have_their_images_names(tmp_path: Path) -> None:
    one, two = touch(tmp_path / "in", "one.nii", "two.v2.nii.gz")
    out = tmp_path / "out"
    named = label_files(images(one, two), out)
    assert named == {ImageFiles.of(one): out / "one.nii.gz", ImageFiles.of(two): out / "two.v2.nii.gz"}


def test_labels_that_are_there_already(tmp_path: Path) -> None:
    three = images(*touch(tmp_path / "in", "a.nii.gz", "b.nii.gz", "c.nii.gz"))
    out = tmp_path / "out"
    _, b = touch(out, "a.nii.gz", "b.nii.gz")
    with pytest.raises(TrainableError) as caught:
        label_files(three, out)
    assert str(caught.value) == (
        f"{out / 'a.nii.gz'}: exists already (and 1 more); nothing was computed, overwrite or choose another output"
    )
    assert len(label_files(three, out, overwrite=True)) == 3
    b.unlink()
    b.mkdir()
    with pytest.raises(TrainableError, match=r"b\.nii\.gz: is a folder; nothing was computed"):
        label_files(three, out, overwrite=True)


def test_a_label_takes_no_images_place(tmp_path: Path) -> None:
    """Nor lies beside it under its name, as a.nii.gz beside a.nii; a link to the folder is no other folder."""
    (image,) = touch(tmp_path / "in", "a.nii")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for folder in (tmp_path / "in", tmp_path / "link"):
        with pytest.raises(TrainableError, match=r"is the folder of a\.nii, and labels have their images' names"):
            label_files(images(image), folder, overwrite=True)
    (named,) = label_files(images(image), tmp_path / "in" / "labels").values()
    assert named == tmp_path / "in" / "labels" / "a.nii.gz"


def test_two_images_of_one_name(tmp_path: Path) -> None:
    one, two = *touch(tmp_path / "one", "a.nii"), *touch(tmp_path / "two", "a.nii.gz")
    with pytest.raises(TrainableError, match=r"two/a\.nii\.gz: its label would overwrite that of .*one/a\.nii"):
        label_files(images(one, two), tmp_path / "out")
