"""What is found wrong with a data set's settings, and told of it, before Ray starts."""

import io
from pathlib import Path
from typing import Any

import pytest
from make_data import write_dataset
from rich.console import Console
from test_space_check import read

from tuner.config import DatasetConfig, PreprocessingConfig
from tuner.errors import SweepConfigError
from tuner.preparation import prepare, prepare_sweep
from tuner.view import View


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


def test_what_no_data_set_allows_is_told_before_the_data_are_looked_at(tmp_path):
    space = {"learning_rate": {"float": [-0.002, 0.02]}}
    config = read(tmp_path, {"dataset": {"path": "nowhere"}, "space": space, "default": {"learning_rate": 0.01}})
    with pytest.raises(SweepConfigError) as error:
        prepare_sweep(config, View(quiet=True))
    assert str(error.value) == f"{tmp_path}/sweep.yaml: space.learning_rate: must be more than 0, got -0.002"
