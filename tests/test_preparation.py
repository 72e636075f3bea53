"""What is found wrong before Ray starts: the space's names and values, the split, the targets."""

import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from make_data import write_dataset
from rich.console import Console

from trainables.normalisation import ChannelNormalisation
from trainables.preprocessing import PreprocessingPlan
from trainables.targets import Targets
from tuner.config import DatasetConfig, PreprocessingConfig, SweepConfig
from tuner.errors import SweepConfigError
from tuner.preparation import check_space, check_trainable, prepare, prepare_sweep
from tuner.view import View

PLAN = PreprocessingPlan(spacing=(1.0, 1.0, 1.0), normalisation=(ChannelNormalisation(kind="zscore"),))
TARGETS = Targets(names=("organ",), members=((1,),), regions=False)
SWEEP: dict[str, Any] = {
    "name": "blobs",
    "dataset": {"path": "Blobs"},
    "training": {"levels": 3},
    "space": {"patch_size": {"choice": [16, [16, 24, 16]]}, "learning_rate": {"float": [1e-3, 1e-2]}},
    "default": {"patch_size": [16, 24, 16], "learning_rate": 5e-3},
    "budget": {"unit": "steps", "maximum": 9},
}


def read(folder: Path, changes: dict[str, Any]) -> SweepConfig:
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({**SWEEP, **changes}))
    return SweepConfig.read(path)


def test_a_good_space_passes(tmp_path):
    check_space(read(tmp_path, {}), PLAN, TARGETS)
    check_space(read(tmp_path, {"default": {}}), PLAN, TARGETS)


RATE = {"float": [1e-3, 1e-2]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"space": {"learning_rte": RATE}, "default": {"learning_rte": 5e-3}},
            "space.learning_rte: not a setting of a segmentation run; did you mean learning_rate?",
        ),
        (
            {"training": {"levls": 3}},
            "training.levls: not a setting of a segmentation run; did you mean levels?",
        ),
        ({"training": {"levels": 9}}, "training.levels: must be a whole number from 2 to 8, got 9"),
        ({"training": {"levels": "3"}}, "training.levels: must be a whole number, got '3'"),
        (
            {"space": {"learning_rate": {"float": [-0.002, 0.02]}}, "default": {}},
            "space.learning_rate: must be more than 0, got -0.002",
        ),
        (
            {"space": {"batch_size": {"choice": [0, 4]}}, "default": {"batch_size": 2}},
            "space.batch_size: must be at least 1, got 0",
        ),
        ({"training": {"width": True}}, "training.width: must be a whole number, got True"),
        (
            {"space": {"patch_size": {"choice": [16, 18]}}, "default": {}},
            "space.patch_size: 18 is not a multiple of 4 (the network halves x, y, z twice); use 16 or 20",
        ),
        (
            {"space": {"levels": {"int": [3, 6]}}, "training": {"patch_size": 24}, "default": {"levels": 3}},
            "space.levels: 6 can't be trained beside the other parameters' defaults: patch_size: 24 is not",
        ),
        (
            {"space": {"width": {"int": [1, 16]}}, "default": {"width": 1}},
            "default.width: must be a whole number from 2 to 320, got 1",
        ),
        (
            {"space": {"learning_rate": RATE}, "training": {"levels": 7}, "default": {}},
            "patch_size: 32 is not a multiple of 64",
        ),
        (
            {"training": {"levels": 3, "precision": "fp16"}},
            "training.precision: fp16 needs a CUDA GPU, and this run is on 'cpu'; use ",
        ),
        (
            {"training": {"batch_size": 2}, "resources": {"workers_per_trial": 3}},
            "training.batch_size: must be at least 3, one patch for each worker, got 2",
        ),
    ],
)
def test_a_bad_name_or_value_is_told_with_file_and_key(tmp_path, changes, message):
    with pytest.raises(SweepConfigError) as error:
        check_space(read(tmp_path, changes), PLAN, TARGETS)
    assert str(error.value).startswith(f"{tmp_path}/sweep.yaml: {message}")


def test_what_no_data_set_allows_is_told_before_the_data_are_looked_at(tmp_path):
    space = {"learning_rate": {"float": [-0.002, 0.02]}}
    config = read(tmp_path, {"dataset": {"path": "nowhere"}, "space": space, "default": {"learning_rate": 0.01}})
    with pytest.raises(SweepConfigError) as error:
        prepare_sweep(config, View(quiet=True))
    assert str(error.value) == f"{tmp_path}/sweep.yaml: space.learning_rate: must be more than 0, got -0.002"


def test_a_run_of_the_users_own_has_its_own_settings(tmp_path):
    config = read(tmp_path, {"trainable": "mine:Run", "space": {"anything": RATE}, "default": {}})
    check_space(config, PLAN, TARGETS)


def test_a_trainable_that_is_none_is_told_with_file_and_key(tmp_path):
    check_trainable(read(tmp_path, {}))
    check_trainable(read(tmp_path, {"trainable": "trainables.toy:ToyRun"}))
    for name, told in {"no_such:Run": "no_such:Run can't be imported: No", "math:pi": "must be a class with"}.items():
        with pytest.raises(SweepConfigError) as error:
            check_trainable(read(tmp_path, {"trainable": name}))
        assert str(error.value).startswith(f"{tmp_path}/sweep.yaml: trainable: {told}")


def prepared(tmp_path: Path, *, source: str | None = None, told: list[str] | None = None, **dataset: Any) -> None:
    prepare(
        DatasetConfig.model_validate({"path": str(tmp_path / "Blobs"), "folds": 3, **dataset}),
        PreprocessingConfig(),
        cache=tmp_path / "cache",
        check=lambda plan, targets: None,
        progress=lambda stage, done, of: None,
        tell=(told if told is not None else []).append,
        source=source,
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": {"organ": [1, 9]}}, "dataset.labels: organ has 9, which is not a label of the data set"),
        ({"folds": 7}, "dataset.folds: "),
        ({"group": "nme"}, "dataset.group: "),
    ],
)
def test_what_does_not_fit_the_data_set_is_told_with_file_and_key(tmp_path, changes, message):
    write_dataset(tmp_path / "Blobs")
    with pytest.raises(SweepConfigError) as error:
        prepared(tmp_path, source="sweep.yaml", **changes)
    assert str(error.value).startswith(f"sweep.yaml: {message}")
    with pytest.raises(SweepConfigError) as error:
        prepared(tmp_path, **changes)
    assert str(error.value).startswith(message)
    assert not (tmp_path / "cache").exists()


def test_a_patch_that_no_case_fills_is_told(tmp_path):
    write_dataset(tmp_path / "Blobs")
    patch = {"patch_size": {"choice": [16, "128x64x64"]}}
    changes = {"dataset": {"path": str(tmp_path / "Blobs"), "folds": 3}, "cache": str(tmp_path / "cache")}
    config = read(tmp_path, {**changes, "space": patch, "default": {}})
    console = Console(file=io.StringIO(), width=1000)
    assert prepare_sweep(config, View(console)) is not None
    assert (
        f"warning: {tmp_path}/sweep.yaml: space.patch_size: 128x64x64 is mostly padding: the largest case has 20x24x18 "
        "voxels once preprocessed\n"
    ) in console.file.getvalue()
    assert console.file.getvalue().count("padding") == 1


def test_what_is_odd_about_the_data_set_is_told(tmp_path):
    write_dataset(tmp_path / "Blobs", manifest={"numTraining": 260})
    told: list[str] = []
    prepared(tmp_path, told=told)
    assert told[0].endswith("dataset.json: numTraining is 260, but there are 6 training cases; all of these count")
    # 20 x 24 x 18 voxels of two bytes for the image and one for the label, and foreground: a fraction of a MiB a case.
    assert told[1].startswith("6 cases; preprocessed they take 1 MiB in ")
    assert told[1].endswith("preparing one takes up to 1 MiB of memory")
