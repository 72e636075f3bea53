"""The same images and labels, as the Decathlon lays them, as nnU-Net does and as a table, are the same data set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from make_data import write_dataset
from make_layouts import write_nnunet, write_table

from trainables.dataset import Dataset
from trainables.errors import DatasetError
from trainables.fingerprint import Fingerprint, take_fingerprint
from trainables.layouts import read_dataset
from trainables.phantom import write_phantom
from tuner.config import DatasetConfig, PreprocessingConfig
from tuner.preparation import Prepared, prepare

LAYOUTS = ("decathlon", "nnunet", "table")
PAIRS = "(int(number) + 1) // 2"
GROUPS = {f"brain_{number:03d}": f"person {(number + 1) // 2}" for number in range(1, 5)}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Four phantom brains, which have four channels and three classes, in each layout."""
    folder = tmp_path_factory.mktemp("layouts")
    decathlon = write_phantom(folder / "PhantomBrain", task="brain", cases=4, size=0.25)
    return {
        "decathlon": decathlon,
        "nnunet": write_nnunet(decathlon, folder / "Dataset123_PhantomBrain"),
        "table": write_table(decathlon, folder / "table", groups=GROUPS),
    }


@pytest.fixture(scope="module")
def prepared(places: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Prepared]:
    cache = tmp_path_factory.mktemp("cache")
    return {
        layout: prepare(
            DatasetConfig(path=place, folds=2, group=None if layout == "table" else PAIRS),
            PreprocessingConfig(),
            cache=cache / layout,
        )
        for layout, place in places.items()
    }


def without_hashes(fingerprint: Fingerprint) -> Fingerprint:
    """Channels that lie in files of their own are other bytes."""
    return Fingerprint(tuple(replace(case, content_hash="") for case in fingerprint.cases))


@pytest.mark.parametrize("layout", ["nnunet", "table"])
def test_a_data_set_is_the_same_in_every_layout(places: dict[str, Path], layout: str) -> None:
    decathlon, other = read_dataset(places["decathlon"]), read_dataset(places[layout])
    assert other.case_names == decathlon.case_names
    assert other.modalities == decathlon.modalities == ("FLAIR", "T1w", "t1gd", "T2w")
    assert [len(case.image.files) for case in other.cases] == [4] * 4
    assert other.notes == ()
    assert (other.name, dict(other.labels)) == (
        ("table", {}) if layout == "table" else ("PhantomBrain", dict(decathlon.labels))
    )


@pytest.mark.parametrize("layout", ["nnunet", "table"])
def test_fingerprint_split_and_volumes_are_the_same(prepared: dict[str, Prepared], layout: str) -> None:
    decathlon, other = prepared["decathlon"], prepared[layout]
    assert without_hashes(other.fingerprint) == without_hashes(decathlon.fingerprint)
    assert other.split == decathlon.split
    assert other.volumes.plan == decathlon.volumes.plan
    for name in decathlon.dataset.case_names:
        ours, theirs = decathlon.volumes[name], other.volumes[name]
        np.testing.assert_array_equal(theirs.image, ours.image)
        np.testing.assert_array_equal(theirs.label, ours.label)
        assert theirs.image.dtype == ours.image.dtype


def test_a_tables_classes_are_called_by_their_values(prepared: dict[str, Prepared]) -> None:
    assert prepared["table"].dataset.labels == {0: "background", 1: "label_1", 2: "label_2", 3: "label_3"}
    assert prepared["table"].volumes.targets.names == ("label_1", "label_2", "label_3")
    assert prepared["table"].volumes.targets.members == prepared["nnunet"].volumes.targets.members


def test_files_of_one_channel_are_told_by_their_content_in_every_layout(tmp_path: Path) -> None:
    decathlon = write_dataset(tmp_path / "Blobs", cases=2)
    others = write_nnunet(decathlon, tmp_path / "Dataset001_Blobs"), write_table(decathlon, tmp_path / "table")
    first, *rest = (take_fingerprint(read_dataset(place)) for place in (decathlon, *others))
    assert rest == [first, first]


def test_the_folder_of_a_manifest_is_its_data_set(places: dict[str, Path]) -> None:
    assert read_dataset(places["nnunet"] / "dataset.json") == read_dataset(places["nnunet"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_data_set_is_read_again_by_its_source(places: dict[str, Path], layout: str) -> None:
    dataset: Dataset = read_dataset(places[layout])
    assert dataset.source.is_absolute()
    assert read_dataset(dataset.source) == dataset


def test_the_folder_above_data_sets_names_them(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.json: no such file; a data set in the layout of"):
        read_dataset(tmp_path)
    for number in range(1, 8):
        (tmp_path / f"Dataset{number:03d}_Organ").mkdir()
        if number > 1:
            (tmp_path / f"Dataset{number:03d}_Organ" / "dataset.json").touch()
    named = " or ".join(f"{tmp_path}/Dataset{number:03d}_Organ" for number in range(2, 7))
    with pytest.raises(DatasetError) as caught:
        read_dataset(tmp_path)
    assert str(caught.value) == f"{tmp_path}: has no dataset.json; did you mean {named}, or one of 1 more?"


@pytest.mark.parametrize(
    ("name", "problem"),
    [("scan.nii.gz", "no data set"), ("none", "no such folder or file"), ("x" * 300, "no such folder or file")],
)
def test_what_is_no_data_set(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "scan.nii.gz").touch()
    with pytest.raises(DatasetError) as caught:
        read_dataset(tmp_path / name)
    assert str(caught.value) == (
        f"{tmp_path / name}: {problem}; give the folder that holds dataset.json, or a CSV file that lists cases "
        "(.csv or .tsv)"
    )
