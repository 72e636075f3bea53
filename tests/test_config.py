"""The sweep file: what is taken, what is refused, and with which words."""

from pathlib import Path

import pytest

from search_spaces.errors import SpaceError
from tuner.config import SweepConfig, cache_folder
from tuner.errors import SweepConfigError

TOY = """
name: toy
trainable: trainables.toy:ToyRun
space:
  learning_rate: {float: [1e-5, 1e-1], log: true}
  batch_size: {choice: [1, 2, 4, 8]}
budget: {unit: steps, maximum: 900}
"""


@pytest.fixture
def read(tmp_path):
    def read(text: str) -> SweepConfig:
        path = tmp_path / "sweep.yaml"
        path.write_text(text)
        return SweepConfig.read(path)

    return read


def test_defaults(read):
    config = read(TOY)
    assert config.search.trials == 16
    assert config.confirm.top == 3
    assert config.budget.first_share == pytest.approx(1 / 9)
    assert config.search_space["learning_rate"].high == 0.1


def test_written_and_read_again_is_the_same(read, tmp_path):
    more = [
        f"dataset: {{path: {tmp_path}/data, labels: {{whole: [1, 2]}}}}",
        "default: {learning_rate: 1e-3, batch_size: 2}",
    ]
    config = read("\n".join([TOY, *more]))
    assert read(config.to_yaml()) == config


def test_paths_count_from_the_sweep_file(read, tmp_path):
    config = read(TOY + "dataset: {path: ../data/Task04, groups_file: groups.csv}\ncache: cache\n")
    assert config.dataset.path == tmp_path.parent / "data" / "Task04"
    assert config.dataset.groups_file == tmp_path / "groups.csv"
    assert cache_folder(config.cache) == tmp_path / "cache"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("serach: {trials: 3}", "serach: unknown key; did you mean 'search'"),
        ("search: {trails: 3}", "search.trails: unknown key; did you mean 'trials'"),
        ("search: {trials: many}", "search.trials: .*valid integer.*got 'many'"),
        ("search: {trials: 0}", "search.trials: .*greater than or equal to 1; got 0"),
        ("dataset: {path: x, folds: 5, fold: 5}", "fold counts from 0 and must be below folds; got fold 5 of 5"),
        ("dataset: {path: x, held_out: 0.2}", "either folds or held_out"),
        ("dataset: {path: x, regions: true}", "regions: true needs labels"),
        ("dataset: {path: x, group: number, groups_file: g.csv}", "either group or groups_file"),
        ("preprocessing: {spacing: [1, 0, 1]}", "preprocessing.spacing.*above 0 mm"),
        ("resources: {gpus_per_trial: 1.5}", "gpus_per_trial: above 1 it must be a whole number; got 1.5"),
        ("training: {batch_size: 2}", "in training and in space: batch_size"),
        ("default: {batch_size: 2}", "default gives no value for learning_rate"),
        ("default: {batch_size: 3, learning_rate: 1e-3}", "batch_size: 3 is not one of 1, 2, 4, 8"),
        ("trainable: toy.py", "trainable: .*pattern"),
    ],
)
def test_bad_keys_and_values_are_named(read, line, message):
    key = line.partition(":")[0]
    kept = "\n".join(old for old in TOY.splitlines() if not old.startswith(f"{key}:"))
    with pytest.raises(SweepConfigError, match=rf"sweep\.yaml: .*{message}"):
        read(f"{kept}\n{line}\n")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("unit: steps", "unit: epochs", "budget.unit: .*'voxels', 'flops', 'seconds' or 'steps'; got 'epochs'"),
        ("maximum: 900", "maximum: -1", "budget.maximum: .*greater than 0; got -1"),
        ("maximum: 900", "maximum: 900, first_rung: 1000", "first_rung 1000 is above maximum 900"),
        ("name: toy", "name: a/b", "name: .*pattern"),
        ("name: toy", "", "name: is missing"),
        ("[1e-5, 1e-1]", "[1e-1, 1e-5]", r"space\.learning_rate: .*0\.1"),
    ],
)
def test_bad_values_in_place_are_named(read, old, new, message):
    with pytest.raises((SweepConfigError, SpaceError), match=rf"sweep\.yaml: .*{message}"):
        read(TOY.replace(old, new))


def test_empty_space_is_refused(read):
    text = TOY.split("space:")[0] + "space: {batch_size: 2}\nbudget: {unit: steps, maximum: 9}\n"
    with pytest.raises(SweepConfigError, match="nothing to search"):
        read(text)


def test_segmentation_needs_a_dataset(read):
    with pytest.raises(SweepConfigError, match="dataset is needed"):
        read(TOY.replace("trainable: trainables.toy:ToyRun", ""))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(SpaceError, match=r"nothing\.yaml: can't be read"):
        SweepConfig.read(tmp_path / "nothing.yaml")


def test_changes_from_the_command_line_are_checked(read):
    config = read(TOY)
    assert config.changed({"search": {"trials": 3}}).search.trials == 3
    with pytest.raises(SweepConfigError, match=r"the command line: name: .*pattern"):
        config.changed({"name": "../up"})


def test_cache_follows_the_xdg_variable(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder(None) == Path("/somewhere/voxtune")
