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
    assert read(TOY + "dataset: {path: ~nobody-here/data}\n").dataset.path == tmp_path / "~nobody-here" / "data"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("serach: {trials: 3}", "serach: unknown key; did you mean 'search'"),
        ("search: {trails: 3}", "search.trails: unknown key; did you mean 'trials'"),
        ("search: {trials: many}", 'search.trials: must be a whole number of at least 1, or null; got "many"'),
        ("search: {trials: '12'}", 'search.trials: must be a whole number of at least 1, or null; got "12"'),
        ("search: {trials: true}", "search.trials: must be a whole number of at least 1, or null; got true"),
        ("search: {trials: 0}", "search.trials: must be a whole number of at least 1, or null; got 0"),
        ("search: {seed: 1.0}", "search.seed: must be a whole number of at least 0; got 1.0"),
        ("search: {stop_early: 1}", "search.stop_early: must be true or false; got 1"),
        ("search:", "search: must be keys with values; got null"),
        ("search: {trials: null}", "search: trials: null needs minutes or device_hours"),
        (
            "search: {sampler: tpee}",
            'search.sampler: must be gp, tpe, .*, an import string module:Class, or null; got "tpee"',
        ),
        (
            "search: {sampler: gp, objectives: [dice, peak_gib], stop_early: false}",
            r"search: sampler: gp learns from one score, and objectives asks for 2 \(dice, peak_gib\); take tpe",
        ),
        ("search: {sampler: grid}", "search.sampler: grid tries every value, and learning_rate has no end of them"),
        ("search: {sampler: grid, sampler_options: {a: 1}}", "sampler_options: the sampler grid has none; got a"),
        ("search: {sampler_options: {seed: 1}}", "search: sampler_options: seed stands under search itself"),
        ("search: {objectives: dice}", 'search.objectives: must be a list of values, each dice, .* got "dice"'),
        ("search: {objectives: [peak_gib]}", "search: objectives must name dice, and each only once; got peak_gib"),
        ("search: {objectives: [dice, dice]}", "search: objectives must name dice, and each only once; got dice, dice"),
        ("search: {objectives: [dice, peak_gib]}", "search: stop_early must be false .*: ASHA .* one number"),
        ("resources: {memory_limit_gib: 0}", "resources.memory_limit_gib: must be a number above 0, or null; got 0"),
        ("dataset: 3", "dataset: must be keys with values; got 3"),
        ("dataset: {path: x, pahts: 3}", "dataset.pahts: unknown key; did you mean 'path'"),
        (
            "dataset: {path: x, labels: {organ: '1'}}",
            'dataset.labels.organ: must be a whole number, or a list .* got "1"',
        ),
        (
            "dataset: {path: x, labels: {}}",
            "dataset.labels: must be one or more names, each with a whole number, or .* got {}",
        ),
        ("dataset: {path: x, split_seed: 5000000000}", "dataset.split_seed: .* of at most 4294967295; got 5000000000"),
        ("dataset: {path: x, labels: {1: organ}}", "dataset.labels: the key 1 must be text"),
        ("dataset: {path: x, folds: null}", "either folds or held_out, not both; got folds null and held_out null"),
        ("dataset: {path: x, folds: 5, fold: 5}", "fold counts from 0 and must be below folds; got fold 5 of 5"),
        (
            "dataset: {path: x, folds: 5, held_out: 0.2}",
            "either folds or held_out, not both; got folds 5 and held_out 0.2",
        ),
        ("dataset: {path: x, regions: true}", "regions: true needs labels"),
        ("dataset: {path: x, group: number, groups_file: g.csv}", "either group or groups_file"),
        (
            "preprocessing: {spacing: [1, 0, 1]}",
            r"preprocessing.spacing: must be median or a list of 3 .*; got \[1, 0, 1\]",
        ),
        ("preprocessing: {spacing: [1, 1]}", r"preprocessing.spacing: must be median or a list of 3 .*; got \[1, 1\]"),
        ("preprocessing: {spacing: medain}", 'preprocessing.spacing: must be median or a list of 3 .*; got "medain"'),
        ("resources: {gpus_per_trial: 1.5}", "gpus_per_trial: above 1 it must be a whole number; got 1.5"),
        ("training: {batch_size: 2}", "in training and in space: batch_size"),
        ("default: {batch_size: 2}", "default.learning_rate: is missing; each parameter of space"),
        ("default: {batch_size: 3, learning_rate: 1e-3}", "default.batch_size: 3 is not one of 1, 2, 4, 8"),
        (
            "default: {batch_siz: 2, learning_rate: 1e-3}",
            "default.batch_siz: neither space nor .* have 'batch_size': is",
        ),
        ("training: {width: [1, 2]}", r"training.width: \[1, 2\] is neither a value nor a size"),
        ("training: {width: {choice: [1, 2]}}", "training.width: .* is not a value"),
        ("training: {1: 2}", "training: the key 1 must be text"),
        ("trainable: toy.py", 'trainable: must be an import string module:Class; got "toy.py"'),
        (
            "checkpoints: s3://AKIA:hunter2@bucket/a",
            "checkpoints: must hold no keys; put them into the environment .*look$",
        ),
        ("checkpoints: s3://AKIA@bucket/a", "checkpoints: must hold no keys"),
        ("checkpoints: abfs://store:hunter2@account/a", "checkpoints: must hold no keys"),
        ("storage: [postgresql://user:hunter2@host/db]", "storage: must be text or null$"),
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
        ("unit: steps", "unit: epochs", 'budget.unit: must be voxels, flops, seconds or steps; got "epochs"'),
        ("maximum: 900", "maximum: -1", "budget.maximum: must be a number above 0; got -1"),
        ("maximum: 900", "maximum: .inf", "budget.maximum: must be finite; got Infinity"),
        ("maximum: 900", "maximum: 900, first_rung: 1000", "first_rung 1000 is above maximum 900"),
        (
            "maximum: 900",
            "maximum: 900, first_rung: 1, reduction: 1.0000001",  # a hundred million rungs
            r"budget.reduction: must be a number of at least 1.01; got 1.0000001",
        ),
        ("name: toy", "name: a/b", 'name: must be up to 100 letters, digits, .*; got "a/b"'),
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
    with pytest.raises(SweepConfigError, match=r"space: must be one or more keys with values; got \{\}"):
        read(text.replace("{batch_size: 2}", "{}"))


def test_segmentation_needs_a_dataset(read):
    with pytest.raises(SweepConfigError, match="dataset is needed"):
        read(TOY.replace("trainable: trainables.toy:ToyRun", ""))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(SpaceError, match=r"nothing\.yaml: can't be read"):
        SweepConfig.read(tmp_path / "nothing.yaml")


def test_changes_from_the_command_line_are_checked(read):
    config = read(TOY)
    assert config.changed({"search": {"trials": 3}}).search.trials == 3
    with pytest.raises(SweepConfigError, match=r"the command line: name: must be up to 100 letters"):
        config.changed({"name": "../up"})


def test_one_line_for_each_key(read):
    with pytest.raises(SweepConfigError) as error:
        read(TOY + "dataset: {path: x, labels: {organ: [1, a]}, fold: '0'}\npreprocessing: {spacing: [1, a, -1]}\n")
    assert [line.partition("sweep.yaml: ")[2] for line in str(error.value).splitlines()] == [
        'dataset.labels.organ: must be a whole number, or a list of values, each a whole number; got [1, "a"]',
        'dataset.fold: must be a whole number of at least 0; got "0"',
        'preprocessing.spacing: must be median or a list of 3 values, each a number above 0; got [1, "a", -1]',
    ]


def test_numbers_are_taken_as_people_write_them(read):
    config = read(
        TOY.replace("maximum: 900", "maximum: 105e6, first_rung: 10000000") + "resources: {cpus_per_trial: 2}"
    )
    assert config.budget.maximum == 105_000_000
    assert config.budget.first_rung == 10_000_000
    assert config.resources.cpus_per_trial == 2


def test_a_held_out_share_takes_the_place_of_the_default_folds(read):
    config = read(TOY + "dataset: {path: x, held_out: 0.2}\n")
    assert config.dataset.folds is None
    assert read(config.to_yaml()).dataset == config.dataset


def test_several_objectives_and_limits_in_place_of_trials(read):
    config = read(TOY + "search: {trials: null, minutes: 30, objectives: [dice, peak_gib], stop_early: false}\n")
    assert config.search.trials is None
    assert config.search.objectives == ("dice", "peak_gib")
    assert read(config.to_yaml()) == config


def test_a_grid_takes_what_has_an_end(read):
    stepped = TOY.replace("float: [1e-5, 1e-1], log: true", "float: [0.1, 0.5], step: 0.1")
    assert read(stepped + "search: {sampler: grid}\n").search_space.size() == 5 * 4
    endless = stepped.replace("space:", "space:\n  width: {int: [1, 1000000000000]}")
    with pytest.raises(SweepConfigError, match="grid tries every value, and space has 20,000,000,000,000 "):
        read(endless + "search: {sampler: grid}\n")


@pytest.mark.parametrize("spelling", ["[40, 56, 40]", "40x56x40", "'40x56x40'"])
def test_a_default_takes_the_spelling_of_the_space(read, spelling):
    space = TOY.replace("batch_size: {choice: [1, 2, 4, 8]}", "patch_size: {choice: [32, 40x56x40]}")
    config = read(f"{space}default: {{learning_rate: 1e-3, patch_size: {spelling}}}\n")
    assert config.default == {"learning_rate": 1e-3, "patch_size": "40x56x40"}
    cube = read(f"{space}default: {{learning_rate: 1e-3, patch_size: [32, 32, 32]}}\n")
    assert cube.default["patch_size"] == 32


def test_the_file_is_known_to_what_is_read_from_it(read, tmp_path):
    config = read(TOY).changed({"name": "other"})
    assert config.source == tmp_path / "sweep.yaml"


def test_schema_is_what_the_reader_takes():
    schema = SweepConfig.model_json_schema()
    search = schema["$defs"]["SearchConfig"]["properties"]
    assert [option.get("type") for option in search["trials"]["anyOf"]] == ["integer", "null"]
    assert search["sampler"]["anyOf"][0]["enum"] == ["gp", "tpe", "random", "quasi-random", "grid"]
    assert search["objectives"]["items"]["enum"] == ["dice", "training_seconds", "peak_gib"]
    assert schema["properties"]["storage"]["writeOnly"] is True
    assert all("description" in key for key in search.values())


def test_cache_follows_the_xdg_variable(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder(None) == Path("/somewhere/voxtune")
