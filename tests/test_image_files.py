"""Which images are labelled, and under which names."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from make_data import blob_case, write_dataset, write_nifti

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
    found = find_images([folder], modalities=["MRI"])
    assert [image.name for image in found][2:] == ["case_003"]
    assert find_images([folder / "dataset.json"], modalities=["MRI"]) == found


def found(*given: Path, modalities: Sequence[str]) -> list[tuple[str, list[str]]]:
    return [(image.name, [file.name for file in image.files]) for image in find_images(given, modalities=modalities)]


def test_channels_named_as_nnunet_names_them_are_one_image(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    touch(folder, "a_0001.nii.gz", "a_0000.nii.gz", "b_x_0000.nii", "b_x_0001.nii")
    both = [("a", ["a_0000.nii.gz", "a_0001.nii.gz"]), ("b_x", ["b_x_0000.nii", "b_x_0001.nii"])]
    assert found(folder, modalities=["T1", "T2"]) == both
    assert found(*sorted(folder.iterdir(), reverse=True), modalities=["T1", "T2"]) == both[::-1]
    (folder / "a_0001.nii.gz").unlink()
    with pytest.raises(DatasetError) as caught:
        found(folder, modalities=["T1", "T2"])
    assert str(caught.value) == (
        f"{folder}: has no a_0001, channel 1 of the image a, and the model takes 2; nothing was computed"
    )


def test_a_single_channel_loses_its_number(tmp_path: Path) -> None:
    touch(tmp_path, "a_0000.nii.gz", "b_0000.nii.gz")
    assert [name for name, _ in found(tmp_path, modalities=["CT"])] == ["a", "b"]


def test_numbers_of_another_kind_are_part_of_the_name(tmp_path: Path) -> None:
    """Of scans, of which one may be the first, and of files with all channels; or where not all are numbered."""
    touch(tmp_path / "scans", "scan_0000.nii.gz", "scan_0001.nii.gz")
    assert [name for name, _ in found(tmp_path / "scans", modalities=["CT"])] == ["scan_0000", "scan_0001"]
    for number in range(2):
        write_nifti(tmp_path / "whole" / f"scan_{number:04d}.nii", blob_case(number, channels=2)[0])
    assert [name for name, _ in found(tmp_path / "whole", modalities=["T1", "T2"])] == ["scan_0000", "scan_0001"]
    touch(tmp_path / "mixed", "a_0000.nii.gz", "a_0001.nii.gz", "b.nii.gz")
    assert len(found(tmp_path / "mixed", modalities=["T1", "T2"])) == 3


def test_a_data_sets_channels_stand_in_the_models_order(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii", "b.nii")
    table = tmp_path / "cases.csv"
    table.write_text("image_T2,image_T1,case\nb.nii,a.nii,x\n")
    for modalities in (["T2", "T1"], ["t2w", "t1w"]):
        assert found(table, modalities=modalities) == [("x", ["b.nii", "a.nii"])]
    with pytest.raises(DatasetError, match="has the channels T2, T1; the model takes T1, T2, in this order"):
        found(table, modalities=["T1", "T2"])


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
