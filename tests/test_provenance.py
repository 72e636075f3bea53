"""Where the values of the best configuration came from, as its file says it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from make_sweep import DEFAULT, RUNGS, evaluation, open_study, sweep_directory

from search_spaces.space import parse_space
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.provenance import how_settled
from tuner.report_best import write_best
from tuner.results import read_results
from tuner.storage import open_storage
from tuner.study import DEFAULT_ORIGIN, SweepStudy

CHECK = {
    "device": "cpu",
    "patch_size": [32, 32, 32],
    "batch_size": 2,
    "rows": [{"precision": "fp32", "memory_format": "contiguous", "step_seconds": 0.02, "gradient_error": 0.0}],
}


def comments_of(directory: SweepDirectory, study: SweepStudy, score: float = 0.8) -> dict[str, str]:
    """Train the next trial to the end and write the best configuration; the comment behind each of its keys."""
    number = study.ask().number
    study.report(number, RUNGS[-1], evaluation(score, RUNGS[-1]))
    study.finish(number, "full budget")
    config = SweepConfig.read(directory.sweep_file)
    path, _ = write_best(directory, config, read_results(directory))
    assert path is not None
    lines = [line.partition("  # ") for line in path.read_text().splitlines()]
    return {key.strip().partition(":")[0]: comment for key, _, comment in lines if comment}


def begun(folder: Path, changes: dict[str, Any] | None = None, **files: Any) -> tuple[SweepDirectory, SweepStudy]:
    directory = sweep_directory(folder / "heart", changes=changes, **files)
    space = SweepConfig.read(directory.sweep_file).search_space
    return directory, open_study(open_storage(None, directory.journal, owner=True), space=space)


def test_what_was_searched_fixed_and_measured(tmp_path: Path) -> None:
    environment = {"precision_checks": [CHECK], "libraries": {"voxtune": "0.1.0"}}
    directory, study = begun(tmp_path, environment=environment)
    said = comments_of(directory, study)
    assert said == {
        "dataset": "of the sweep file",
        "preprocessing": "of the sweep file",
        "optimizer": "training: of the sweep file",
        "learning_rate": "searched, float 0.0001 to 0.01, log: proposed by the search, trial 0",
        "batch_size": "searched, one of 2, 4: proposed by the search, trial 0",
        "patch_size": "searched, one of 32, 40x56x40: proposed by the search, trial 0",
        "loss": "searched, one of dice, dice_ce: proposed by the search, trial 0",
        "precision": "auto by default; auto: measured at the sweep's start on cpu",
        "budget": "the full budget of the sweep file",
        "seed": "of trial 0: the run named above",
        "threads": "resources.cpus_per_trial of the sweep file",
        "device": "what that run was trained on; another kind of device gives another Dice",
    }
    text = directory.best_config.read_text()
    assert text.splitlines()[1] == "# What is not named under parameters has the default of voxtune 0.1.0."
    assert yaml.safe_load(text)["parameters"]["precision"] == "fp32"


def test_the_default_configuration(tmp_path: Path) -> None:
    directory, study = begun(tmp_path)
    study.enqueue(DEFAULT, origin=DEFAULT_ORIGIN)
    assert comments_of(directory, study)["loss"] == "searched, one of dice, dice_ce: the default configuration"


def test_what_an_earlier_sweep_had_and_what_the_sampler_added(tmp_path: Path) -> None:
    directory, study = begun(tmp_path)
    study.enqueue({"learning_rate": 2e-3}, origin="brain: a:7")
    said = comments_of(directory, study)
    assert said["learning_rate"].endswith(": taken over from trial 7 of sweep brain: a (--from)")
    assert said["loss"].endswith(": proposed by the search, trial 0")


def test_a_grid_and_a_value_fixed_in_the_space(tmp_path: Path) -> None:
    space = {"learning_rate": {"float": [1e-3, 3e-3], "step": 1e-3}, "width": {"int": [8, 16], "step": 8}, "levels": 3}
    changes = {"space": space, "default": {}, "search": {"sampler": "grid"}}
    directory, study = begun(tmp_path, changes)
    study.enqueue({"learning_rate": 2e-3, "width": 16})
    said = comments_of(directory, study)
    assert said["learning_rate"] == "searched, float 0.001 to 0.003, step 0.001: a point of the grid, trial 0"
    assert said["width"] == "searched, int 8 to 16, step 8: a point of the grid, trial 0"
    assert said["levels"] == "space: of the sweep file, one value"


def test_what_follows_from_the_number_of_workers(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    training = {"batch_per_worker": True, "learning_rate_scaling": "linear"}
    space = {"learning_rate": {"float": [1e-4, 1e-2]}, "batch_size": {"choice": [2, 4]}}
    changes = {"training": training, "space": space, "default": {}, "resources": {"workers_per_trial": 4}}
    directory, study = begun(tmp_path, changes)
    study.enqueue({"learning_rate": 1e-3, "batch_size": 2}, origin=DEFAULT_ORIGIN)
    said = comments_of(directory, study)
    assert said["batch_size"] == "2 for each of 4 workers; searched, one of 2, 4: the default configuration"
    assert said["learning_rate"].startswith("0.001, scaled (linear) for the batch of 4 workers; searched, float ")
    parameters = yaml.safe_load(directory.best_config.read_text())["parameters"]
    assert (parameters["batch_size"], parameters["learning_rate"]) == (8, 4e-3)


def test_what_auto_was() -> None:
    formats = {"precision": "fp16", "memory_format": "channels_last"}
    measured = how_settled({"precision": "auto"}, formats, [CHECK], "cpu")
    assert measured == dict.fromkeys(formats, "auto: measured at the sweep's start on cpu")
    assert how_settled({"precision": "bf16"}, formats, [], "NVIDIA H100") == {
        "memory_format": "auto: what NVIDIA H100 takes unmeasured"
    }


def test_any_text_in_a_parameter_comes_back(tmp_path: Path) -> None:
    space = {"note": {"choice": ["a # b", "c: d"]}, "size": {"choice": [[8, 8, 8], [8, 16, 8]]}}
    training = {"text": "#no comment", "lines": "one\ntwo # 2\n"}
    changes = {"trainable": "mine:Run", "training": training, "space": space, "default": {}}
    directory, study = begun(tmp_path, changes)
    comments_of(directory, study)
    found = yaml.safe_load(directory.best_config.read_text())["parameters"]
    best = read_results(directory).best
    assert best is not None
    assert found == dict(best.parameters)
    assert parse_space(space)["note"].size() == 2
    assert json.dumps(found).count("#no comment") == 1
