"""Names and values of a sweep file that no trial can have are told with file and key."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from trainables.normalisation import ChannelNormalisation
from trainables.preprocessing import PreprocessingPlan
from trainables.targets import Targets
from tuner.config import SweepConfig
from tuner.errors import SweepConfigError
from tuner.space_check import check_space, check_trainable

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
