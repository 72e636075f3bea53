"""Reading dataset.json: what it declares, and one clear message for each thing that can be wrong with it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from make_data import write_dataset

from trainables.dataset import Case, ImageFiles
from trainables.errors import DatasetError
from trainables.layouts import read_dataset
from trainables.problems import raise_problems

GOOD: dict[str, Any] = {
    "name": "Heart",
    "modality": {"0": "MRI"},
    "labels": {"0": "background", "1": "left atrium"},
    "numTraining": 2,
    "training": [
        {"image": "./imagesTr/la_003.nii.gz", "label": "./labelsTr/la_003.nii.gz"},
        {"image": "imagesTr/la_004.nii", "label": "labelsTr/la_004.nii"},
    ],
}


@pytest.fixture
def lay(tmp_path: Path) -> Callable[..., Path]:
    """Writes a manifest, GOOD but for the given keys (None leaves a key out), with an empty file for each path."""

    def write(**changes: Any) -> Path:
        content = {key: value for key, value in (GOOD | changes).items() if value is not None}
        (tmp_path / "dataset.json").write_text(json.dumps(content))
        for folder in ("imagesTr", "labelsTr"):
            (tmp_path / folder).mkdir(exist_ok=True)
            for name in ("la_003.nii.gz", "la_004.nii"):
                (tmp_path / folder / name).touch()
        return tmp_path

    return write


def message(folder: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        read_dataset(folder)
    return str(caught.value)


def test_reads_what_the_manifest_declares(lay: Callable[..., Path]) -> None:
    folder = lay()
    dataset = read_dataset(folder)
    assert (dataset.source, dataset.name, dataset.modalities) == (folder, "Heart", ("MRI",))
    assert dataset.labels == {0: "background", 1: "left atrium"}
    assert dataset.cases == (
        Case(ImageFiles("la_003", (folder / "imagesTr/la_003.nii.gz",)), folder / "labelsTr/la_003.nii.gz"),
        Case(ImageFiles("la_004", (folder / "imagesTr/la_004.nii",)), folder / "labelsTr/la_004.nii"),
    )
    assert dataset.case_names == ("la_003", "la_004")


def test_labels_and_channels_come_in_rising_order(lay: Callable[..., Path]) -> None:
    modality = {"2": "T2", "0": "FLAIR", "1": "T1"}
    labels = {"10": "ten", "2": "two", "0": "background"}
    dataset = read_dataset(lay(modality=modality, labels=labels))
    assert dataset.modalities == ("FLAIR", "T1", "T2")
    assert list(dataset.labels.items()) == [(0, "background"), (2, "two"), (10, "ten")]


def test_numtraining_and_name_may_be_left_out(lay: Callable[..., Path]) -> None:
    folder = lay(numTraining=None, name=None)
    dataset = read_dataset(folder)
    assert (dataset.name, len(dataset.cases)) == (folder.name, 2)


def test_macos_leftovers_are_skipped_and_counted(lay: Callable[..., Path]) -> None:
    leftover = {"image": "./imagesTr/._la_003.nii.gz", "label": "./labelsTr/._la_003.nii.gz"}
    folder = lay(training=[leftover, *GOOD["training"]], numTraining=3)
    dataset = read_dataset(folder)
    assert (dataset.case_names, dataset.notes) == (("la_003", "la_004"), ())


@pytest.mark.parametrize(("declared", "shown"), [(20, "20"), ("2", '"2"'), (True, "true"), ([2], "[2]")])
def test_another_number_of_cases_than_listed_is_a_note(lay: Callable[..., Path], declared: object, shown: str) -> None:
    folder = lay(numTraining=declared)
    dataset = read_dataset(folder)
    assert dataset.notes == (
        f"{folder}/dataset.json: numTraining is {shown}, but there are 2 training cases; all of these count",
    )
    assert len(dataset.cases) == 2


def test_a_byte_order_mark_is_no_obstacle(lay: Callable[..., Path]) -> None:
    folder = lay()
    manifest = folder / "dataset.json"
    manifest.write_bytes(b"\xef\xbb\xbf" + manifest.read_bytes())
    assert read_dataset(folder).name == "Heart"


def test_links_in_the_file_system_are_followed(
    lay: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = lay()
    elsewhere = tmp_path_factory.mktemp("disk") / "images"
    (folder / "imagesTr").rename(elsewhere)
    (folder / "imagesTr").symlink_to(elsewhere)
    assert read_dataset(folder).cases[0].image.files == (folder / "imagesTr/la_003.nii.gz",)


def test_missing_folder_and_manifest(tmp_path: Path) -> None:
    assert message(tmp_path / "no").startswith(f"{tmp_path}/no: no such folder or file; give the folder that holds ")
    assert message(tmp_path).startswith(f"{tmp_path}/dataset.json: no such file; a data set in the layout of the")


def test_manifest_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").mkdir()
    assert message(tmp_path) == f"{tmp_path}/dataset.json: can't be read: Is a directory"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{", "dataset.json: not valid JSON: Expecting property name"),
        (b"[" * 100_000, "dataset.json: not valid JSON: maximum recursion depth"),
        (b"[1]", "dataset.json: must hold a JSON object, got a list"),
        (b"null", "dataset.json: must hold a JSON object, got null"),
        (b'{"name": "\xff"}', "dataset.json: can't be read: 'utf-8' codec can't decode"),
    ],
)
def test_unreadable_manifest(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "dataset.json").write_bytes(content)
    assert expected in message(tmp_path)


def case(image: object, label: object = "labelsTr/la_003.nii.gz") -> dict[str, Any]:
    return {"numTraining": 1, "training": [{"image": image, "label": label}]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"modality": None}, "modality is missing"),
        ({"labels": None}, "labels is missing"),
        ({"training": None}, "training is missing"),
        ({"name": 3}, "name must be a string, got 3"),
        ({"modality": ["MRI"]}, 'modality must be an object such as {"0": "name"}, got ["MRI"]'),
        ({"modality": {"1": "MRI"}}, "modality must number the channels from 0 without a gap, got [1]"),
        ({"modality": {"0": ""}}, 'modality: the name of 0 must be a string, not empty, got ""'),
        ({"labels": {"background": 0}}, 'labels: the key "background" is not a whole number from 0 on'),
        ({"labels": {"0": "background", "-1": "x"}}, 'labels: the key "-1" is not a whole number from 0 on'),
        ({"labels": {"0": "background", "1": 5}}, "labels: the name of 1 must be a string, not empty, got 5"),
        ({"labels": {"0": "background", "1": "a", "01": "b"}}, "labels: 1 is named twice"),
        ({"labels": {"0": "background", "1": "a", "2": "a"}}, 'labels 1 and 2 have the same name "a"'),
        ({"labels": {"0": "background", "65536": "a"}}, "labels: 65536 is past 65535, the largest label value"),
        ({"labels": {"1": "a"}}, "labels must name 0, the background, got [1]"),
        ({"labels": {"0": "background"}}, "labels must name at least one label besides 0, the background"),
        ({"training": []}, "training must be a list of cases, not empty, got []"),
        ({"training": {}}, "training must be a list of cases, not empty, got {}"),
        ({"training": ["a.nii", "b.nii"]}, 'training[0] must be an object with image and label, got "a.nii"'),
        ({"training": [{"image": "a.nii"}], "numTraining": 1}, "training[0].label is missing"),
        (case(7), "training[0].image must be a path, got 7"),
        (case("imagesTr/a.png"), 'training[0].image: "imagesTr/a.png" is not a NIfTI file (.nii or .nii.gz)'),
        (case("imagesTr/.."), 'training[0].image: "imagesTr/.." leaves the data set\'s folder; give a path inside it'),
        (case("../secret.nii"), 'training[0].image: "../secret.nii" leaves the data set\'s folder'),
        (case("imagesTr/../../secret.nii"), 'training[0].image: "imagesTr/../../secret.nii" leaves'),
        (case("/etc/secret.nii"), 'training[0].image: "/etc/secret.nii" leaves the data set\'s folder'),
        (case("imagesTr/la_003.nii.gz", "/etc/secret.nii"), 'training[0].label: "/etc/secret.nii" leaves'),
        (case("a\0.nii"), 'training[0].image: "a\\u0000.nii" leaves the data set\'s folder'),
        (case("imagesTr/._a.nii.gz"), "training lists no case besides `._` files, which are no images"),
        (
            case("imagesTr/la_003.nii.gz", "./imagesTr/la_003.nii.gz"),
            "training[0].label: imagesTr/la_003.nii.gz is already listed as training[0].image",
        ),
        (
            {"training": [GOOD["training"][0], GOOD["training"][0]]},
            "training[1].image: imagesTr/la_003.nii.gz is already listed as training[0].image",
        ),
        (
            {"training": [GOOD["training"][0], {"image": "more/la_003.nii", "label": "more/label.nii"}]},
            'training[1].image: a second case "la_003" besides imagesTr/la_003.nii.gz; names differ',
        ),
    ],
)
def test_broken_rules_name_key_and_value(lay: Callable[..., Path], changes: dict[str, Any], expected: str) -> None:
    folder = lay(**changes)
    assert message(folder).startswith(f"{folder}/dataset.json: {expected}")


@pytest.mark.parametrize("place", ["../mine.nii", "imagesTr/../../mine.nii", "{}/mine.nii"])
def test_a_file_that_is_there_beside_the_folder_is_none_of_its(tmp_path: Path, place: str) -> None:
    folder = write_dataset(tmp_path / "Blobs", cases=2)
    (tmp_path / "mine.nii").touch()
    manifest = json.loads((folder / "dataset.json").read_text())
    for part in ("image", "label"):
        entry = {**manifest["training"][0], part: place.format(tmp_path)}
        (folder / "dataset.json").write_text(json.dumps({**manifest, "training": [entry, manifest["training"][1]]}))
        assert f"training[0].{part}: " in message(folder)
        assert message(folder).endswith("leaves the data set's folder; give a path inside it")


def test_a_long_value_is_cut_short(lay: Callable[..., Path]) -> None:
    assert message(lay(modality=["x" * 1000])).endswith("x" * 70 + "...")


def test_missing_files_are_listed_together(lay: Callable[..., Path]) -> None:
    folder = lay()
    (folder / "imagesTr/la_003.nii.gz").unlink()
    assert message(folder) == f"{folder}/imagesTr/la_003.nii.gz: listed in dataset.json, but no such file"
    (folder / "labelsTr/la_004.nii").unlink()
    assert message(folder) == (
        "2 problems:\n"
        f"  {folder}/imagesTr/la_003.nii.gz: listed in dataset.json, but no such file\n"
        f"  {folder}/labelsTr/la_004.nii: listed in dataset.json, but no such file"
    )


def test_the_layout_of_nnunets_first_version_is_told(lay: Callable[..., Path]) -> None:
    folder = lay(**case("imagesTr/la_003.nii.gz"))
    (folder / "imagesTr/la_003.nii.gz").rename(folder / "imagesTr/la_003_0000.nii.gz")
    assert message(folder) == (
        f"{folder}/imagesTr/la_003.nii.gz: listed in dataset.json, but no such file; la_003_0000.nii.gz is there, as "
        "nnU-Net 1 has it: bring it to 2 by nnUNetv2_convert_old_nnUNet_dataset"
    )


def test_a_name_too_long_for_the_file_system_is_a_missing_file(lay: Callable[..., Path]) -> None:
    assert "but no such file" in message(lay(**case("x" * 5000 + ".nii")))


def test_a_folder_is_no_file(lay: Callable[..., Path]) -> None:
    folder = lay(**case("folder.nii"))
    (folder / "folder.nii").mkdir()
    assert message(folder) == f"{folder}/folder.nii: listed in dataset.json, but no such file"


def test_many_problems_are_cut_off_at_ten() -> None:
    raise_problems([])
    with pytest.raises(DatasetError) as caught:
        raise_problems(f"problem {number}" for number in range(13))
    lines = str(caught.value).split("\n  ")
    assert lines == ["the first 10 problems:", *(f"problem {number}" for number in range(10)), "... and 3 more"]


def test_reads_what_the_tests_own_writer_lays(tmp_path: Path) -> None:
    dataset = read_dataset(write_dataset(tmp_path / "Blobs", cases=3, channels=2))
    assert dataset.case_names == ("case_001", "case_002", "case_003")
    assert dataset.modalities == ("MRI", "MRI")


@pytest.mark.data
def test_reads_the_real_data_sets(real_data: Path) -> None:
    hippocampus = read_dataset(real_data / "Task04_Hippocampus")
    assert len(hippocampus.cases) == 200
    assert hippocampus.labels == {0: "background", 1: "Anterior", 2: "Posterior"}
    assert read_dataset(real_data / "OpenMS3_1mm").modalities == ("FLAIR", "T1", "T1POST", "T2")
