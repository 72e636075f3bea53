"""Bad input, as a user meets it: exit code 2, one clear message, before Ray starts, nothing written."""

import gzip
import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml
from make_data import write_dataset, write_nifti
from make_layouts import write_nnunet

from tuner import cli

SWEEP = {
    "name": "blobs",
    "dataset": {"path": "Blobs", "folds": 3},
    "cache": "cache",
    "space": {
        "learning_rate": {"float": [1e-3, 1e-2], "log": True},
        "patch_size": {"choice": [16, "16x24x16"]},
    },
    "training": {"levels": 3},
    "budget": {"unit": "steps", "maximum": 9},
}


@pytest.fixture
def data(tmp_path) -> Path:
    return write_dataset(tmp_path / "Blobs")


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys, data):
    """Runs the sweep file with changes; returns the message that it was refused with."""

    def no_ray(*_, **__):
        raise AssertionError("Ray was started")

    monkeypatch.setattr("ray.init", no_ray)
    monkeypatch.chdir(tmp_path)

    def run(changes: dict | None = None) -> str:
        (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({**SWEEP, **(changes or {})}))
        monkeypatch.setattr(sys, "argv", ["voxtune", "run", "sweep.yaml"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        assert ended.value.code == 2, captured
        assert "Traceback" not in captured.err
        assert not (tmp_path / "runs").exists()
        return captured.err

    return run


def rewrite(data: Path, number: int = 2, *, image=None, label=None) -> None:
    name = f"case_{number:03d}.nii.gz"
    for folder, array in (("imagesTr", image), ("labelsTr", label)):
        if array is not None:
            write_nifti(data / folder / name, array)


def read(data: Path, folder: str, number: int = 2) -> np.ndarray:
    return np.asarray(nib.load(data / folder / f"case_{number:03d}.nii.gz").dataobj)


def manifest(data: Path, **changes) -> None:
    file = data / "dataset.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_the_untouched_sweep_gets_as_far_as_ray(refused):
    with pytest.raises(AssertionError, match="Ray was started"):
        refused()


def test_no_dataset_json(refused, data):
    (data / "dataset.json").unlink()
    assert "dataset.json" in refused()


def test_dataset_json_that_is_no_json(refused, data):
    (data / "dataset.json").write_text("{")
    message = refused()
    assert "dataset.json" in message
    assert "JSON" in message


def test_missing_file(refused, data):
    (data / "imagesTr" / "case_002.nii.gz").unlink()
    assert "case_002.nii.gz" in refused()


def test_truncated_gzip(refused, data):
    file = data / "imagesTr" / "case_002.nii.gz"
    file.write_bytes(file.read_bytes()[:-200])
    assert "case_002.nii.gz" in refused()


def test_not_nifti(refused, data):
    with gzip.open(data / "labelsTr" / "case_003.nii.gz", "wb") as file:
        file.write(b"hello" * 1000)
    assert "case_003.nii.gz" in refused()


def test_image_and_label_of_different_shape(refused, data):
    rewrite(data, label=read(data, "labelsTr")[:-1])
    message = refused()
    assert "case_002" in message
    assert "19" in message
    assert "20" in message


def test_nan_voxels(refused, data):
    image = read(data, "imagesTr").copy()
    image[0, 0, 0] = np.nan
    rewrite(data, image=image)
    message = refused()
    assert "case_002" in message
    assert "NaN" in message


def test_undeclared_label(refused, data):
    label = read(data, "labelsTr").copy()
    label[0, 0, 0] = 7
    rewrite(data, label=label)
    message = refused()
    assert "case_002" in message
    assert "7" in message


def test_label_that_is_not_integral(refused, data):
    label = read(data, "labelsTr").astype(np.float32)
    label[0, 0, 0] = 0.5
    rewrite(data, label=label)
    message = refused()
    assert "case_002" in message
    assert "0.5" in message


def test_mixed_channel_counts(refused, data):
    image = read(data, "imagesTr")
    rewrite(data, image=np.stack([image, image], axis=-1))
    message = refused()
    assert "case_002" in message
    assert "channel" in message


def test_fewer_cases_than_folds(refused):
    message = refused({"dataset": {**SWEEP["dataset"], "folds": 7}})
    assert "sweep.yaml: dataset.folds: " in message
    assert "7" in message
    assert "6" in message


def test_path_that_leaves_the_folder(refused, data):
    manifest(data, training=[{"image": "../secret.nii.gz", "label": "./labelsTr/case_001.nii.gz"}], numTraining=1)
    assert "../secret.nii.gz" in refused()


def test_contradicting_number_of_cases_is_told_and_the_list_counts(refused, data, capsys):
    manifest(data, numTraining=8)
    with pytest.raises(AssertionError, match="Ray was started"):
        refused()
    told = "".join(capsys.readouterr())
    assert "numTraining is 8, but there are 6 training cases; all of these count" in " ".join(told.split())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bugdet": {}}, ["bugdet", "unknown key", "'budget'"]),
        ({"search": {"trials": "many"}}, ["sweep.yaml: search.trials: must be a whole number", '"many"']),
        ({"budget": {"unit": "epochs", "maximum": 9}}, ["budget.unit", "epochs", "voxels"]),
        ({"space": {"patch_size": 16}}, ["nothing to search"]),
        ({"space": {}}, ["space"]),
        ({"space": {"learning_rate": {"float": [1e-2, 1e-3]}}}, ["space.learning_rate", "0.01"]),
        ({"space": {"patch_size": {"choice": [16, 18]}}}, ["sweep.yaml: space.patch_size: 18 is not a multiple of 4"]),
        (
            {"space": {"learning_rat": {"float": [1e-3, 1e-2]}}},
            ["sweep.yaml: space.learning_rat: not a setting", "did you mean learning_rate?"],
        ),
        ({"training": {"levels": 3, "precision": "fp8"}}, ["sweep.yaml: training.precision: must be", "fp8"]),
        ({"training": {"levels": 3, "precision": "fp16"}}, ["sweep.yaml: training.precision: fp16 needs"]),
        ({"budget": {"unit": "steps", "maximum": float("inf")}}, ["budget.maximum", "finite"]),
        (
            {"cache": "Blobs/dataset.json"},
            ["sweep.yaml: cache: ", "Blobs/dataset.json can't be written: Not a directory"],
        ),
        ({"trainable": "math:pi"}, ["sweep.yaml: trainable: must be a class with the methods advance, ", "math:pi"]),
        ({"trainable": "no_such:Run"}, ["sweep.yaml: trainable: no_such:Run can't be imported: No module named"]),
        ({"cache": "a\0b"}, ["sweep.yaml: cache: must hold no NUL", '"a\\u0000b"']),
        (
            {"preprocessing": {"spacing": [1, 1, 1e6]}},
            [
                "sweep.yaml: preprocessing.spacing: must leave the median volume 2 to 32767 voxels",
                "got 1e+06 mm along z",
            ],
        ),
        ({"dataset": {**SWEEP["dataset"], "group": "__import__('os')"}}, ["sweep.yaml: dataset.group: "]),
        ({"dataset": {**SWEEP["dataset"], "labels": {"organ": [1, 9]}}}, ["sweep.yaml: dataset.labels: organ has 9"]),
    ],
)
def test_bad_sweep_files(refused, changes, words):
    message = refused(changes)
    for word in words:
        assert word in message


def test_folder_of_sweeps_that_is_a_file(tmp_path, monkeypatch, capsys, data):
    (tmp_path / "runs").write_text("precious")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(SWEEP))
    monkeypatch.setattr(sys, "argv", ["voxtune", "run", "sweep.yaml"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    told = f"error: sweep directory runs/blobs can't be made: {tmp_path}/runs: Not a directory; choose another folder"
    assert capsys.readouterr().err.startswith(told)
    assert (tmp_path / "runs").read_text() == "precious"
    assert not (tmp_path / "cache").exists()


def test_sweep_directory_that_exists(tmp_path, monkeypatch, capsys, data):
    kept = tmp_path / "runs" / "blobs" / "kept.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("precious")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(SWEEP))
    monkeypatch.setattr(sys, "argv", ["voxtune", "run", "sweep.yaml"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "exists already" in capsys.readouterr().err
    assert [path.name for path in kept.parent.iterdir()] == ["kept.txt"]
    assert kept.read_text() == "precious"


def test_a_table_of_cases_names_file_and_line(refused, data):
    table = data / "cases.csv"
    names = [f"case_{number:03d}.nii.gz" for number in (1, 2, 9)]
    table.write_text("image,label\n" + "".join(f"imagesTr/{name},labelsTr/{name}\n" for name in names))
    message = refused({"dataset": {"path": "Blobs/cases.csv", "folds": 2}})
    assert "imagesTr/case_009.nii.gz: listed in line 4 of cases.csv, but no such file" in " ".join(message.split())


def test_channels_that_differ_are_named(refused, data, tmp_path):
    nnunet = write_nnunet(data, tmp_path / "Dataset001_Blobs", manifest={"channel_names": {"0": "T1", "1": "T2"}})
    for number in range(1, 7):
        image = nnunet / "imagesTr" / f"case_{number:03d}_0001.nii.gz"
        write_nifti(image, read(data, "imagesTr", number)[: 20 - (number == 4)])
    message = refused({"dataset": {"path": nnunet.name, "folds": 3}})
    assert "case_004_0001.nii.gz: shape 19 x 24 x 18 differs from 20 x 24 x 18 of case_004_0000" in " ".join(
        message.split()
    )


def test_labels_of_a_table_are_known_once_its_files_were_read(refused, data):
    (data / "cases.csv").write_text(
        "image,label\n" + "".join(f"imagesTr/case_00{n}.nii.gz,labelsTr/case_00{n}.nii.gz\n" for n in range(1, 7))
    )
    message = refused({"dataset": {"path": "Blobs/cases.csv", "folds": 3, "labels": {"head": 1, "tail": 5}}})
    assert "dataset.labels: tail has 5, which is not a label of the data set: 1 (label_1), 2 (label_2)" in " ".join(
        message.split()
    )
