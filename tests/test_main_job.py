"""The main job from a data set to a used model, by the commands a user types, on a real local Ray."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml
from make_data import write_dataset

from tuner.api import SweepDirectory, read_results

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def voxtune(*arguments: object, folder: Path) -> str:
    command = [sys.executable, "-m", "tuner.cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a data set of twelve blobs and a finished sweep over it."""
    folder = tmp_path_factory.mktemp("main")
    write_dataset(folder / "Blobs", cases=12)
    sweep = {
        "name": "blobs",
        "dataset": {"path": "Blobs", "folds": 3, "test_fraction": 0.2},
        "cache": "cache",
        "training": {"levels": 3, "width": 4},
        "space": {
            "learning_rate": {"float": [2e-3, 2e-2], "log": True},
            "batch_size": {"choice": [1, 2]},
            "patch_size": {"choice": [16, "16x24x16"]},
        },
        "default": {"learning_rate": 1e-2, "batch_size": 2, "patch_size": "16x24x16"},
        "budget": {"unit": "steps", "maximum": 90},
        "search": {"trials": 4},
        "confirm": {"top": 1, "seeds": 1},
    }
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    output = voxtune("run", "sweep.yaml", folder=folder)
    assert "12 cases; preprocessed they take 1 MiB in" in output
    assert "Confirming the best by training with other seeds, numbered from 0 again: trial " in output
    assert "Leaderboard" in output
    assert "runs/blobs/report/report.html" in output
    return folder


def test_the_sweep_left_its_record(folder):
    directory = SweepDirectory.find("blobs", runs=folder / "runs")
    results = read_results(directory)
    assert len(results.trials) == 4
    assert results.best.basis == "confirmed"
    assert results.best.run.score > 0.8  # bright blobs: anything that learns finds them
    assert results.cases[["study", "number", "split"]].drop_duplicates().shape[0] >= 5
    split = json.loads(directory.split_file.read_text())
    assert sorted(map(len, split.values())) == [2, 4, 6]
    assert set(results.cases.query("split == 'test'")["case"]) == set(split["test"])


def test_training_the_best_again_gives_its_dice(folder):
    voxtune("train", "runs/blobs/best/config.yaml", "-o", "again", folder=folder)
    again = json.loads((folder / "again" / "scores.json").read_text())
    best = read_results(SweepDirectory.find("blobs", runs=folder / "runs")).best
    assert again["dice"] == pytest.approx(best.run.score, abs=1e-6)


def test_evaluating_the_best_gives_its_dice(folder):
    voxtune(
        *("evaluate", "runs/blobs/best/model.pt", "Blobs", "--cases", "runs/blobs/split.json", "-o", "dice.csv"),
        folder=folder,
    )
    table = pd.read_csv(folder / "dice.csv")
    best = read_results(SweepDirectory.find("blobs", runs=folder / "runs")).best
    assert table["dice"].mean() == pytest.approx(best.run.score, abs=1e-6)


def test_predicting_labels_an_image_in_its_own_grid(folder):
    image = folder / "Blobs" / "imagesTr" / "case_001.nii.gz"
    voxtune("predict", "runs/blobs/best/model.pt", image, "-o", "labels", folder=folder)
    (written,) = (folder / "labels").iterdir()
    predicted, truth = nib.load(written), nib.load(folder / "Blobs" / "labelsTr" / "case_001.nii.gz")
    assert predicted.shape == truth.shape
    assert np.array_equal(predicted.affine, truth.affine)
    a, b = np.asarray(predicted.dataobj) > 0, np.asarray(truth.dataobj) > 0
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.8


def test_a_report_written_again_is_the_same_and_so_are_the_pictures_that_the_cluster_drew(folder):
    directory = SweepDirectory.find("blobs", runs=folder / "runs")
    results = read_results(directory)
    run = results.best.run
    listed = json.loads(directory.best_cases.read_text())
    assert listed["run"] == f"{run.study}:{run.number}"
    cases = results.cases
    found = cases[(cases["study"] == run.study) & (cases["number"] == run.number) & (cases["split"] == "validation")]
    assert {(case["case"], name): dice for case in listed["cases"] for name, dice in case["classes"].items()} == (
        found.set_index(["case", "class"])["dice"].to_dict()
    )
    pictures = {path.name: path.read_bytes() for path in directory.case_pictures.iterdir()}
    assert len(pictures) == len(listed["cases"]) == 4
    assert len(list(directory.artifacts.iterdir())) == 5  # all four, since they are so few, and the configuration
    page = directory.report / "report.md"
    before = page.read_text()

    page.unlink()
    directory.best_cases.unlink()
    shutil.rmtree(directory.case_pictures)
    assert "No pictures" not in voxtune("report", "blobs", folder=folder)
    assert page.read_text() == before
    assert json.loads(directory.best_cases.read_text()) == listed
    assert {path.name: path.read_bytes() for path in directory.case_pictures.iterdir()} == pictures
