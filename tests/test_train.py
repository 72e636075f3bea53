"""One configuration, trained without Ray."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from rich.console import Console
from terminal import Screen

from trainables.errors import SettingError, TrainingError
from trainables.model_file import load_model
from trainables.protocol import Budget
from trainables.toy import ToyRun
from tuner.errors import OutputError, SweepConfigError
from tuner.train import TrainConfig, train_config
from tuner.training_view import watching_training
from tuner.view import View

TOY: dict[str, Any] = {
    "trainable": "trainables.toy:ToyRun",
    "parameters": {"learning_rate": 1e-3},
    "budget": {"unit": "steps", "maximum": 90},
}


def write(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_run_of_ones_own(tmp_path: Path) -> None:
    evaluation = train_config(write(tmp_path, TOY), tmp_path / "out")
    run = ToyRun(TOY["parameters"], data={}, budget=Budget(unit="steps", maximum=90), seed=0, device="cpu")
    assert evaluation.score == run.advance(90).score
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["scores.json"]
    assert json.loads((tmp_path / "out" / "scores.json").read_text())["dice"] == evaluation.score


def test_a_run_that_lies_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run_of_mine.py").write_text("from trainables.toy import ToyRun\n\nclass Mine(ToyRun): pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [entry for entry in __import__("sys").path if entry])
    evaluation = train_config(write(tmp_path, {**TOY, "trainable": "run_of_mine:Mine"}), tmp_path / "out")
    assert evaluation.score > 0.8


def test_a_segmentation(tmp_path: Path, small_dataset: Path) -> None:
    content = {
        "dataset": {"path": str(small_dataset), "folds": 3},
        "parameters": {"levels": 2, "width": 4, "patch_size": 16},
        "budget": {"unit": "steps", "maximum": 9},
        "device": "cpu",
        "cache": "cache",
    }
    console = Console(width=80)
    with console.capture() as capture:
        evaluation = train_config(write(tmp_path, content), tmp_path / "out", view=View(console))
    assert load_model(tmp_path / "out" / "model.pt").patch_size == (16, 16, 16)
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert (scores["dice"], set(scores["cases"])) == (evaluation.score, set(evaluation.cases))
    prepared, *lines = capture.get().splitlines()
    assert prepared.startswith("6 cases; preprocessed they take ")
    # After 1, 3 and all of nine steps.
    assert [line.split()[0] for line in lines] == ["11%", "33%", "100%"]
    assert all(
        re.fullmatch(r" *\d+% of the budget  loss \d\.\d{4}  Dice \d\.\d{4}  after [\d.]+ s", line) for line in lines
    )
    assert f"Dice {evaluation.score:.4f}" in lines[-1]


def test_the_bar_moves_between_evaluations() -> None:
    class Counting(ToyRun):
        used = 30.0

    budget = Budget(unit="steps", maximum=90)
    run = Counting({"learning_rate": 1e-3}, data={}, budget=budget, seed=0, device="cpu")
    for file, drawn in ((Screen(), True), (io.StringIO(), False)):
        console = Console(file=file, width=80, force_terminal=True)
        with watching_training(console, run, budget):
            pass
        assert ("33%" in file.getvalue()) is drawn


def test_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = write(tmp_path, {**TOY, "device": "cuda"})
    with pytest.raises(SettingError, match="device: cuda: torch finds no GPU here"):
        train_config(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert train_config(path, tmp_path / "out", device="cpu").facts["device"] == "cpu"


def test_a_sweep_on_a_cpu_is_repeated_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    path = write(tmp_path, {**TOY, "device": "cpu"})
    assert train_config(path, tmp_path / "cpu").facts["device"] == "cpu"
    path = write(tmp_path, TOY)
    assert train_config(path, tmp_path / "gpu").facts["device"] == "cuda"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": {"folds": 7}}, "dataset.folds: 7 need as many groups"),
        ({"preprocessing": {"spacing": [1, 1, 1e6]}}, "preprocessing.spacing: must leave the median volume 2 to "),
        (
            {"parameters": {"levels": 1}, "dataset": {"path": "nowhere"}},
            "parameters.levels: must be a whole number from",
        ),
        ({"parameters": {"levles": 2}}, "parameters.levles: not a setting of a segmentation run; did you mean levels?"),
        ({"parameters": {"patch_size": 18}}, "parameters.patch_size: 18 is not a multiple of 4"),
        ({"parameters": {"precision": "fp16"}}, "parameters.precision: fp16 needs a CUDA GPU"),
    ],
)
def test_a_setting_that_can_not_be_is_told_with_file_and_key(
    tmp_path: Path, small_dataset: Path, changes: dict[str, Any], message: str
) -> None:
    content: dict[str, Any] = {
        "dataset": {"path": str(small_dataset), "folds": 3},
        "parameters": {"levels": 3, "patch_size": 16},
        "budget": {"unit": "steps", "maximum": 9},
        "device": "cpu",
        "cache": "cache",
    }
    for key, value in changes.items():
        content[key] = {**content.get(key, {}), **value}
    path = write(tmp_path, content)
    with pytest.raises(SweepConfigError) as error:
        train_config(path, tmp_path / "out")
    assert str(error.value).startswith(f"{path}: {message}")
    assert not (tmp_path / "out").exists()
    assert not [path for path in (tmp_path / "cache").glob("*") if path.is_dir()]  # nothing was preprocessed


def test_what_a_run_of_ones_own_refuses_is_a_parameter_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, {**TOY, "parameters": {"learning_rte": 1e-3}})
    with pytest.raises(SweepConfigError) as error:
        train_config(path, tmp_path / "out")
    assert str(error.value) == f"{path}: parameters.learning_rte: unknown to the toy run"


@pytest.mark.parametrize("name", ["model.pt", "scores.json"])
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match=f"{name} exists already: nothing was written; choose another --output"):
        train_config(write(tmp_path, TOY), tmp_path)
    assert (tmp_path / name).read_text() == "mine"


def test_no_memory_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def advance(self: ToyRun, budget: float) -> None:
        raise torch.OutOfMemoryError("tried to allocate 20 GiB")

    monkeypatch.setattr(ToyRun, "advance", advance)
    with pytest.raises(TrainingError, match="does not fit in the memory of cpu: tried to allocate 20 GiB; a smaller "):
        train_config(write(tmp_path, TOY), tmp_path / "out", device="cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainable": "trainables.toy:Toy"}, "trainable: trainables.toy:Toy can't be imported: "),
        ({"trainable": "no.such:Run"}, "trainable: no.such:Run can't be imported: No module named 'no'"),
        ({"trainable": "trainables.toy:math"}, "trainable: must be a class with the methods advance, "),
        ({"trainable": "trainables.segmentation:SegmentationRun"}, "dataset is needed to train a segmentation"),
        ({"device": "cuda:1"}, "device: "),
        ({"space": {}}, "space: unknown key"),
    ],
)
def test_configurations_that_can_not_be_trained(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write(tmp_path, {**TOY, **changes})
    with pytest.raises(SweepConfigError) as error:
        train_config(path, tmp_path / "out")
    assert str(error.value).startswith(f"{path}: {message}")
    assert not (tmp_path / "out").exists()


def test_paths_count_from_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, {**TOY, "dataset": {"path": "Blobs"}, "cache": "../cache"})
    config = TrainConfig.read(path)
    assert config.dataset is not None
    assert (config.dataset.path, config.cache) == (tmp_path / "Blobs", tmp_path.parent / "cache")
