"""nnU-Net's raw layout: what is read, and each rule that a data set may break."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_data import write_dataset
from make_layouts import write_nnunet

from trainables.errors import DatasetError
from trainables.layouts import read_dataset
from tuner.config import DatasetConfig
from tuner.preparation import targets_of

BLOBS = {"background": 0, "class1": 1, "class2": 2}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two channels, T1 and T2, three cases."""
    manifest = {"modality": {"0": "T1", "1": "T2"}}
    return write_dataset(tmp_path_factory.mktemp("source") / "Blobs", cases=3, channels=2, manifest=manifest)


@pytest.fixture
def lay(source: Path, tmp_path: Path) -> Callable[..., Path]:
    """Lays the blobs; keys of dataset.json are given by name, None leaves one out."""
    return lambda **manifest: write_nnunet(source, tmp_path / "Dataset007_Blobs", manifest=manifest)


def message(folder: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        read_dataset(folder)
    return str(caught.value)


def test_cases_channels_and_labels(lay: Callable[..., Path]) -> None:
    folder = lay()
    (folder / "imagesTr" / "._case_001_0000.nii.gz").touch()  # as macOS archives leave them
    (folder / "imagesTr" / "notes.txt").touch()
    dataset = read_dataset(folder)
    assert (dataset.name, dataset.modalities, dict(dataset.labels)) == (
        "Blobs",
        ("T1", "T2"),
        {0: "background", 1: "class1", 2: "class2"},
    )
    assert dataset.case_names == ("case_001", "case_002", "case_003")
    assert dataset.cases[1].image.files == tuple(
        folder / "imagesTr" / f"case_002_{channel:04d}.nii.gz" for channel in (0, 1)
    )
    assert dataset.cases[1].label == folder / "labelsTr" / "case_002.nii.gz"
    assert (dataset.regions, dataset.notes, dataset.groups) == ({}, (), {})


def test_the_key_of_early_versions_and_a_name(lay: Callable[..., Path]) -> None:
    folder = lay(channel_names=None, modality={"0": "T1", "1": "CT"}, name="Liver")
    dataset = read_dataset(folder)
    assert (dataset.name, dataset.modalities) == ("Liver", ("T1", "CT"))


def test_cases_that_dataset_lists(lay: Callable[..., Path]) -> None:
    images = ["elsewhere/b.nii.gz", "./elsewhere/a.nii.gz"]
    folder = lay(dataset={"one": {"images": images, "label": "elsewhere/l.nii.gz"}}, numTraining=1)
    assert message(folder).startswith(
        f"3 problems:\n  {folder}/elsewhere/b.nii.gz: listed in dataset.json, but no such"
    )
    shutil.copytree(folder / "imagesTr", folder / "elsewhere")
    for name in "abl":
        (folder / "elsewhere" / f"{name}.nii.gz").touch()
    (case,) = read_dataset(folder).cases
    assert (case.name, [file.name for file in case.image.files]) == ("one", ["b.nii.gz", "a.nii.gz"])


def test_regions_are_learned_as_the_data_set_wants(lay: Callable[..., Path]) -> None:
    folder = lay(labels={"background": 0, "whole": [1, 2], "core": 2}, regions_class_order=[1, 2])
    dataset = read_dataset(folder)
    assert dataset.labels == {0: "background", 1: "label_1", 2: "core"}
    wanted = targets_of(dataset, DatasetConfig(path=folder))
    assert (wanted.names, wanted.members, wanted.regions) == (("whole", "core"), ((1, 2), (2,)), True)
    values = np.array([0, 1, 2])
    assert wanted.decode(wanted.encode(values)).tolist() == [0, 1, 2]
    own = targets_of(dataset, DatasetConfig(path=folder, labels={"any": [1, 2]}))
    assert (own.names, own.regions) == (("any",), False)


def test_what_is_odd_is_told(lay: Callable[..., Path]) -> None:
    folder = lay(numTraining=7, overwrite_image_reader_writer="OursIO")
    for number in range(4):
        (folder / "labelsTr" / f"old_{number}.nii.gz").touch()
    assert read_dataset(folder).notes == (
        f"{folder}/dataset.json: numTraining is 7, but there are 3 training cases; all of these count",
        f"{folder}/labelsTr: old_0.nii.gz, old_1.nii.gz, old_2.nii.gz and 1 more belong to no image of imagesTr, and "
        "are not used",
        f'{folder}/dataset.json: overwrite_image_reader_writer is "OursIO"; files are read as NIfTI says all the same',
    )


@pytest.mark.parametrize("reader", ["SimpleITKIO", "NibabelIO", "NibabelIOWithReorient"])
def test_nnunets_own_readers_of_nifti_are_as_good_as_ours(lay: Callable[..., Path], reader: str) -> None:
    assert read_dataset(lay(overwrite_image_reader_writer=reader)).notes == ()


def test_a_reader_that_is_no_name_is_a_note(lay: Callable[..., Path]) -> None:
    (note,) = read_dataset(lay(overwrite_image_reader_writer={"a": 1})).notes
    assert 'overwrite_image_reader_writer is {"a": 1}' in note


LISTED = {"images": ["a.nii.gz", "b.nii.gz"], "label": "c.nii.gz"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"file_ending": None}, "file_ending is missing"),
        ({"file_ending": ".nrrd"}, 'file_ending must be .nii.gz or .nii, got ".nrrd": only NIfTI files are read'),
        ({"file_ending": ["x"]}, 'file_ending must be .nii.gz or .nii, got ["x"]'),
        ({"channel_names": None}, "channel_names is missing"),
        ({"channel_names": {"1": "T1"}}, "channel_names must number the channels from 0 without a gap, got [1]"),
        ({"channel_names": ["T1"]}, 'channel_names must be an object such as {"0": "name"}, got ["T1"]'),
        ({"labels": None}, "labels is missing"),
        ({"labels": {"background": "0"}}, 'labels: "background" must have a whole number from 0 on, or a list of them'),
        (
            {"labels": {"0": "background", "1": "liver"}},
            'labels: name and value are the other way round, as nnU-Net 1 has them: {"0": "background"} must be '
            '{"background": 0}',
        ),
        ({"labels": {"background": 0, "a": True}}, 'labels: "a" must have a whole number from 0 on, or a list'),
        ({"labels": {"background": 0, "a": []}}, 'labels: "a" must have a whole number from 0 on, or a list'),
        ({"labels": {"a": 1}}, "labels must name 0, the background, got [1]"),
        ({"labels": {"background": 0}}, "labels must name at least one label besides 0"),
        ({"labels": {"background": 0, "a": 70000}}, "labels: 70000 is past 65535, the largest label value"),
        ({"labels": {"background": 0, "a": 1, "b": 1}}, "labels: a and b have the same value 1"),
        ({"labels": {"background": 0, "a": 1, "a ": 2}}, 'labels: names must differ and not be empty, got "a "'),
        ({"labels": {"background": 0, "a": [0, 1]}}, "labels: a has 0, the background, among its values [0, 1]"),
        ({"labels": {**BLOBS, "ignore": 3}}, "labels: ignore (3) marks voxels that nobody annotated, and nothing here"),
        ({"dataset": {}}, "dataset must be an object of cases, not empty, got {}"),
        ({"dataset": {"a": 1}}, "dataset.a must be an object with images and label, got 1"),
        ({"dataset": {"a": {}}}, "dataset.a.images is missing"),
        (
            {"dataset": {"a": {**LISTED, "images": ["a.nii"]}}},
            "dataset.a.images must list a file for each of 2 channels",
        ),
        ({"dataset": {"a": {"images": LISTED["images"]}}}, "dataset.a.label is missing"),
        ({"dataset": {"a/b": LISTED}}, "dataset: the case \"a/b\" must be a file's name: no '/'"),
        ({"dataset": {"": LISTED}}, 'dataset: the case "" must have 1 to 200 bytes (in UTF-8)'),
        ({"dataset": {"ü" * 101: LISTED}}, 'dataset: the case "' + "\\u00fc" * 12 + "\\u00... must have 1 to 200"),
        (
            {"dataset": {"a": {**LISTED, "label": "a.nii.gz"}}},
            "dataset.a.label: a.nii.gz is already listed as dataset.a.images[0]",
        ),
        (
            {"dataset": {"a": {**LISTED, "label": "/data/c.nii.gz"}}},
            'dataset.a.label: "/data/c.nii.gz" leaves the data set\'s folder',
        ),
        (
            {"dataset": {"a": {**LISTED, "label": "$HOME/../../c.nii.gz"}}},
            'dataset.a.label: "$HOME/../../c.nii.gz" leaves the data set\'s folder',
        ),
    ],
)
def test_broken_rules_name_key_and_value(lay: Callable[..., Path], changes: dict[str, Any], expected: str) -> None:
    folder = lay(**changes)
    assert message(folder).startswith(f"{folder}/dataset.json: {expected}")


@pytest.mark.parametrize("part", ["images", "label"])
def test_a_file_that_is_there_beside_the_folder_is_none_of_its(lay: Callable[..., Path], part: str) -> None:
    outside = {"images": ["a.nii.gz", "../mine.nii.gz"]} if part == "images" else {"label": "../mine.nii.gz"}
    folder = lay(dataset={"case": {**LISTED, **outside}})
    for name in ("a", "b", "c", "../mine"):
        (folder / f"{name}.nii.gz").touch()
    assert message(folder).endswith(' "../mine.nii.gz" leaves the data set\'s folder; give a path inside it')


def test_files_that_lack_or_are_too_many_are_listed_together(lay: Callable[..., Path]) -> None:
    folder = lay()
    images, labels = folder / "imagesTr", folder / "labelsTr"
    (images / "case_001_0001.nii.gz").unlink()
    (labels / "case_002.nii.gz").unlink()
    (images / "case_003_0002.nii.gz").touch()
    (images / "case_004.nii.gz").touch()
    assert message(folder).split("\n  ") == [
        "4 problems:",
        f"{images}/case_004.nii.gz: its name says no channel; it must end with one, as in CASE_0000.nii.gz",
        f"{images}/case_001_0001.nii.gz: no such file, the channel T2 of the case case_001",
        f"{labels}/case_002.nii.gz: no such file, the label of the case case_002",
        f"{images}/case_003_0002.nii.gz: is a channel too many, _0002; dataset.json names T1 (_0000), T2 (_0001)",
    ]


def test_folders_that_are_empty_or_not_there(lay: Callable[..., Path]) -> None:
    folder = lay(file_ending=".nii")
    assert message(folder) == f"{folder}/imagesTr: holds no file CASE_0000.nii, as file_ending of dataset.json says"
    shutil.rmtree(folder / "imagesTr")
    assert message(folder) == f"{folder}/imagesTr: can't be read: No such file or directory"


def test_a_decathlon_manifest_is_none_of_nnunets(source: Path) -> None:
    assert json.loads((source / "dataset.json").read_text())["training"]
    assert [len(case.image.files) for case in read_dataset(source).cases] == [1, 1, 1]
