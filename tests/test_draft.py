"""Sweep files drafted for made-up data on made-up machines: they load, they fit, and they say why."""

import json
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_data import write_dataset, write_nifti
from make_layouts import write_nnunet, write_table

from search_spaces.errors import SpaceError
from search_spaces.presets import load_preset
from trainables.errors import DatasetError
from trainables.phantom import write_phantom
from trainables.segmentation_config import parse_patch_size
from tuner import calibration, machine
from tuner.config import SweepConfig
from tuner.draft import draft_sweep
from tuner.draft_text import near_path, yaml_text
from tuner.errors import SweepConfigError
from tuner.pace import Job, Pace


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 2)
    monkeypatch.setattr(machine, "available_memory_gib", lambda: 20.0)
    monkeypatch.setattr(machine, "cuda_devices", lambda: ())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def pace(voxel: float = 1e-6, evaluation: float = 0.01) -> Any:
    """A machine that trains a voxel in as many seconds, whatever the configuration."""

    def time_job(job: Job) -> list[Pace]:
        batches = [config["batch_size"] * prod(parse_patch_size(config["patch_size"])) for config in job.configurations]
        return [Pace(step=voxel * batch, evaluation=evaluation) for batch in batches]

    return time_job


def drafted(tmp_path: Path, dataset: Path, **options: Any) -> tuple[SweepConfig, str]:
    """The draft as `voxtune run` would read it, and its text."""
    folder = tmp_path / "sweeps"
    folder.mkdir(exist_ok=True)
    text = draft_sweep(dataset, relative_to=folder, **{"time_job": pace(), **options})
    (folder / "sweep.yaml").write_text(text)
    return SweepConfig.read(folder / "sweep.yaml"), text


def test_small_data_set_on_two_cores(tmp_path: Path, small_dataset: Path) -> None:
    config, text = drafted(tmp_path, small_dataset)
    assert config.name == "blobs"
    assert config.dataset is not None
    assert config.dataset.path == small_dataset
    assert (config.dataset.folds, config.dataset.fold) == (5, 0)
    # 20 x 24 x 18 voxels: padded to what four levels divide.
    assert config.space["patch_size"] == {"choice": ["24x24x24", "16x24x16"]}
    assert config.space["batch_size"] == {"choice": [2, 4, 8]}
    assert config.training["network"] == "compact_unet"
    assert config.default["patch_size"] == "24x24x24"
    assert (config.resources.cpus_per_trial, config.resources.gpus_per_trial) == (1, 0)
    assert config.search.trials == 16
    assert text.startswith("# Blobs: 6 cases, 1 channel (MRI), to segment class1 and class2.\n")
    assert "The median volume has 20 x 24 x 18 voxels of 1 x 1 x 1 mm" in text
    assert "# Likely up to 10 minutes for all trials" in text


def test_regions_and_groups_of_the_data_set_are_written(tmp_path: Path, small_dataset: Path) -> None:
    labels = {"background": 0, "whole": [1, 2], "core": 2}
    nnunet = write_nnunet(small_dataset, tmp_path / "Dataset001_Blobs", manifest={"labels": labels})
    config, text = drafted(tmp_path, nnunet)
    assert config.dataset is not None
    assert (config.dataset.labels, config.dataset.regions) == ({"whole": [1, 2], "core": [2]}, True)
    assert text.startswith("# Blobs: 6 cases, 1 channel (MRI), to segment whole and core.\n")

    groups = {f"case_{number:03d}": "ab"[number > 2] for number in range(1, 7)}
    table = write_table(small_dataset, tmp_path / "table", groups=groups)
    config, text = drafted(tmp_path, table)
    assert config.dataset is not None
    assert config.dataset.path == table
    assert (config.dataset.labels, config.dataset.regions) == ({"label_1": 1, "label_2": 2}, False)
    assert "  labels: {label_1: 1, label_2: 2}\n" in text
    assert (config.dataset.group, config.dataset.folds) == (None, 2)  # as many as groups
    assert "  # Cases of the same group, as cases.csv has it, are kept on one side.\n" in text
    assert "4 and 2 of them" in text or "2 and 4 of them" in text


def test_a_label_value_that_few_cases_have_is_told_so(tmp_path: Path, small_dataset: Path) -> None:
    table = write_table(small_dataset, tmp_path / "table")
    label = np.zeros((20, 24, 18), np.uint8)
    label[4:9, 4:9, 4:9], label[12, 12, 12] = 1, 255
    write_nifti(table.parent / "case_002_label.nii.gz", label)
    config, text = drafted(tmp_path, table)
    assert config.dataset is not None
    assert config.dataset.labels == {"label_1": 1, "label_2": 2, "label_255": 255}
    assert (
        "  labels:\n    label_1: 1\n    label_2: 2  # in 5 of 6 cases\n    label_255: 255  # in 1 of 6 cases\n" in text
    )


def test_budget_follows_the_machine(tmp_path: Path, small_dataset: Path) -> None:
    """16 trials in 2 slots use from 7/27 to 0.55 of the full budget each, waiting at the end included."""
    fast, _ = drafted(tmp_path, small_dataset, time_job=pace(1e-6))
    slow, _ = drafted(tmp_path, small_dataset, time_job=pace(2e-6))
    long, _ = drafted(tmp_path, small_dataset, minutes=20)
    assert 585 * 2 / 16 / 0.55 / 1e-6 < fast.budget.maximum < 585 * 2 / 16 / (7 / 27) / 1e-6
    assert fast.budget.maximum == pytest.approx(2 * slow.budget.maximum, rel=0.02)
    assert long.budget.maximum == pytest.approx(2 * fast.budget.maximum, rel=0.06)


def test_slow_evaluations_leave_less_for_training(tmp_path: Path, small_dataset: Path) -> None:
    quick, _ = drafted(tmp_path, small_dataset)
    slow, _ = drafted(tmp_path, small_dataset, time_job=pace(evaluation=10.0))
    assert slow.budget.maximum < 0.7 * quick.budget.maximum


def test_large_volumes_on_a_slow_machine(tmp_path: Path) -> None:
    """The patch shrinks to 32^3 voxels, not below; then the sweep takes longer than ten minutes, and says so."""
    dataset = write_dataset(tmp_path / "Large", cases=3, shape=(64, 72, 64))
    config, text = drafted(tmp_path, dataset, time_job=pace(1e-5))
    default = parse_patch_size(config.default["patch_size"])
    assert 32**3 <= prod(default) < 40**3
    assert config.budget.maximum == pytest.approx(250 * 2 * prod(default), rel=0.01)
    assert "# Up to 10 minutes" not in text
    assert "makes 250 steps" in text


def test_amounts_too_small_to_show(tmp_path: Path, small_dataset: Path) -> None:
    stages: list[tuple[str, int, int]] = []
    _, text = drafted(tmp_path, small_dataset, progress=lambda *stage: stages.append(stage))
    assert "and an evaluation\n# takes 0.1 s." in text
    assert "0.0 " not in text
    assert stages[-2:] == [("Timing some training", 0, 1), ("Timing some training", 1, 1)]


def test_few_subjects_make_fewer_folds(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "Few", cases=3)
    config, _ = drafted(tmp_path, dataset)
    assert config.dataset is not None
    assert config.dataset.folds == 3


def test_pairs_are_hinted_at_not_guessed(tmp_path: Path, small_dataset: Path) -> None:
    config, text = drafted(tmp_path, small_dataset)
    assert config.dataset is not None
    assert config.dataset.group is None
    assert "  # group: (int(number) + 1) // 2\n" in text


def test_group_that_was_given(tmp_path: Path, small_dataset: Path) -> None:
    config, text = drafted(tmp_path, small_dataset, group="(int(number) + 1) // 2", test_fraction=0.3)
    assert config.dataset is not None
    assert config.dataset.group == "(int(number) + 1) // 2"
    assert config.dataset.test_fraction == 0.3
    # Three pairs, one of them kept for the test.
    assert config.dataset.folds == 2
    assert "# group:" not in text
    assert "the same cases: 2 and 2 of them" in text


def test_held_out_share(tmp_path: Path, small_dataset: Path) -> None:
    config, _ = drafted(tmp_path, small_dataset, held_out=0.34)
    assert config.dataset is not None
    assert (config.dataset.folds, config.dataset.held_out) == (None, 0.34)


def test_split_that_was_given(tmp_path: Path, small_dataset: Path) -> None:
    groups = tmp_path / "groups.csv"
    pairs = [f"case_{case:03d},{(case + 1) // 2}" for case in range(1, 7)]
    groups.write_text("\n".join(["case,group", *pairs]))
    config, text = drafted(tmp_path, small_dataset, folds=3, fold=2, groups_file=groups, split_seed=7)
    dataset = config.dataset
    assert dataset is not None
    assert (dataset.folds, dataset.fold, dataset.groups_file, dataset.split_seed) == (3, 2, groups, 7)
    assert "  groups_file: ../groups.csv\n" in text
    assert "the same cases: 4 and 2 of them" in text
    _, other = drafted(tmp_path, small_dataset)
    assert "split_seed" not in other


def test_gpus_get_a_trial_each(tmp_path: Path, small_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = machine.CudaDevice(name="GPU", memory_gib=80, free_gib=80, capability=(9, 0), kernels=True)
    monkeypatch.setattr(machine, "usable_cores", lambda: 16)
    monkeypatch.setattr(machine, "cuda_devices", lambda: (gpu, gpu))
    config, text = drafted(tmp_path, small_dataset, time_job=pace(1e-8))
    assert (config.resources.cpus_per_trial, config.resources.gpus_per_trial) == (8, 1)
    assert config.training["network"] == "dynunet"
    assert "# Of one trial: 2 GPUs and 16 cores hold 2 trials at once." in text
    assert "# Likely up to 60 minutes for all trials" in text


def test_one_size_only_is_fixed_not_searched(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "Tiny", shape=(4, 4, 4))
    config, _ = drafted(tmp_path, dataset)
    assert "patch_size" in config.training
    assert "patch_size" not in config.space


def test_text_of_the_data_set_stays_in_its_place(tmp_path: Path) -> None:
    dataset = write_dataset(
        tmp_path / "a: folder # {with}",
        manifest={"name": "Twö\nlines: #\u2028 {Ŝß}", "labels": {"0": "background", "1": "a: {b}\nc", "2": "no"}},
    )
    config, text = drafted(tmp_path, dataset)
    assert config.name == "two-lines-sss"  # without accents
    assert config.dataset is not None
    assert config.dataset.path == dataset
    assert '  # labels: {"a: {b}\\nc": 1, no: 2}\n' in text


def test_space_of_a_preset(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "Seahorses", cases=4, shape=(35, 50, 36))
    config, text = drafted(tmp_path, dataset, preset="hippocampus")
    space = load_preset("hippocampus")
    searched = config.search_space.searched
    assert {name: searched[name] for name in searched if name != "patch_size"} == {
        name: space[name] for name in space.searched if name != "patch_size"
    }
    assert config.space["patch_size"] == {"choice": ["40x56x40", "32x48x32", "32x32x32"]}
    # What a sweep begins with on two cores wherever the preset has it, else the nearest.
    assert config.default == {
        "learning_rate": 6e-3,
        "network": "compact_unet",
        "width": 8,
        "levels": 4,
        "batch_size": 2,
        "patch_size": "40x56x40",
    }
    assert "# What is searched, of the preset hippocampus: move a setting" in text
    assert "for 4 levels" not in text


def test_a_preset_begins_with_what_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = write_dataset(tmp_path / "Seahorses", cases=4, shape=(35, 50, 36))
    # 0.8 of it less 1 GiB for the process; at 24 channels x 110 bytes x 1.25 that is two patches of 81,345 voxels.
    monkeypatch.setattr(machine, "available_memory_gib", lambda: 1.875)
    config, _ = drafted(tmp_path, dataset, preset="hippocampus")
    assert config.space["patch_size"]["choice"][0] == "40x56x40"
    assert config.default["patch_size"] == "32x48x32"


def test_a_preset_for_larger_volumes(tmp_path: Path, small_dataset: Path) -> None:
    with pytest.raises(SweepConfigError) as error:
        drafted(tmp_path, small_dataset, preset="hippocampus")
    assert str(error.value) == (
        "preset hippocampus: patch_size 40x56x40, 32x48x32, 32x32x32 would be mostly padding: the median volume of "
        "this data set has 20x24x18 voxels of 1 x 1 x 1 mm; choose another preset, or none, and the patch sizes "
        "follow from the data"
    )


def test_the_search_of_distmis_on_a_phantom(tmp_path: Path) -> None:
    """Its one patch size is that of real brains; a phantom is taken whole."""
    dataset = write_phantom(tmp_path / "brain", task="brain", cases=6, size=0.5)
    config, _ = drafted(tmp_path, dataset, preset="brain_tumour_distmis")
    assert list(config.space) == ["learning_rate", "normalisation", "beta2", "amsgrad"]
    assert config.training["patch_size"] == "32x40x32"
    assert {name: config.training[name] for name in ("network", "width", "levels", "batch_size")} == {
        "network": "unet3d",
        "width": 8,
        "levels": 4,
        "batch_size": 2,
    }
    assert {config.training[name] for name in ("tilt", "zoom", "noise", "intensity_scale", "weight_averaging")} == {0.0}


def test_an_unknown_preset(tmp_path: Path, small_dataset: Path) -> None:
    with pytest.raises(SpaceError, match="preset: there is no 'lung'; available are brain_tumour, "):
        drafted(tmp_path, small_dataset, preset="lung")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"minutes": -1}, "voxtune new: minutes: must be a number above 0; got -1"),
        ({"minutes": float("nan")}, "voxtune new: minutes: must be finite; got NaN"),
        ({"trials": 0}, "voxtune new: trials: must be a whole number of at least 1"),
        ({"folds": 1}, "voxtune new: folds: must be a whole number of at least 2"),
        ({"folds": 3, "fold": 3}, "voxtune new: fold counts from 0 and must be below folds; got fold 3 of 3"),
        ({"test_fraction": 1.5}, "voxtune new: test_fraction: must be a number of at least 0 and below 1; got 1.5"),
        ({"name": "../up"}, "voxtune new: name: must be up to 100 letters, digits, '.', '_' and '-'"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str, tmp_path: Path, small_dataset: Path) -> None:
    def nothing_is_timed(job: Job) -> list[Pace]:
        raise AssertionError("training was timed")

    with pytest.raises(SweepConfigError) as error:
        draft_sweep(small_dataset, relative_to=tmp_path, time_job=nothing_is_timed, **options)
    assert str(error.value).startswith(message)


def test_what_is_odd_about_the_data_set_is_told(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "Blobs", manifest={"numTraining": 260})
    told: list[str] = []
    drafted(tmp_path, dataset, tell=told.append)
    assert told == [f"{dataset}/dataset.json: numTraining is 260, but there are 6 training cases; all of these count"]


def test_minutes_that_are_too_short(tmp_path: Path, small_dataset: Path) -> None:
    with pytest.raises(SweepConfigError) as error:
        draft_sweep(small_dataset, relative_to=tmp_path, minutes=1, time_job=pace(evaluation=20.0))
    assert str(error.value).startswith(
        "minutes: 1 is too short for 16 trials on this machine: if the full budget is 50 steps, they take about "
    )
    assert str(error.value).endswith("evaluations of 2 cases included; give more minutes or fewer trials")


def test_minutes_that_are_too_short_for_any_training_are_told_before_any_is_timed(
    tmp_path: Path, small_dataset: Path
) -> None:
    def nothing_is_timed(job: Job) -> list[Pace]:
        raise AssertionError("training was timed")

    with pytest.raises(SweepConfigError) as error:
        draft_sweep(small_dataset, relative_to=tmp_path, minutes=0.28, time_job=nothing_is_timed)
    assert str(error.value) == (
        "minutes: 0.28 is too short for 16 trials on this machine: to start, and to record them, takes 17 s without "
        "any training; give more minutes or fewer trials"
    )
    assert not (tmp_path / "cache").exists()  # nor were the cases checked


def test_one_subject_can_not_be_split(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "One", cases=1)
    with pytest.raises(DatasetError) as error:
        draft_sweep(dataset, relative_to=tmp_path, time_job=pace())
    assert str(error.value) == (
        f"{dataset}: has one case, case_001; one is needed to train on and another to validate on: add cases"
    )


@pytest.mark.parametrize(("options", "told"), [({}, "its column group"), ({"group": "'all'"}, "group: 'all'")])
def test_one_group_can_not_be_split(tmp_path: Path, small_dataset: Path, options: dict[str, Any], told: str) -> None:
    table = write_table(small_dataset, tmp_path / "table", groups={f"case_{n:03d}": "all" for n in range(1, 7)})
    with pytest.raises(DatasetError) as error:
        draft_sweep(table, relative_to=tmp_path, time_job=pace(), **options)
    assert str(error.value) == (
        f"{table}: its 6 cases are all of the group all ({told}); cases of one group stay together, so that none is "
        "left to validate on: give each person a group of their own"
    )


def test_broken_data_is_found(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "Broken")
    manifest = json.loads((dataset / "dataset.json").read_text())
    (dataset / manifest["training"][0]["label"]).write_bytes(b"not an image")
    with pytest.raises(DatasetError, match=r"case_001\.nii\.gz"):
        draft_sweep(dataset, relative_to=tmp_path, time_job=pace())


@pytest.mark.parametrize(
    ("path", "folder", "written"),
    [
        ("/data/sweeps/Heart", "/data/sweeps", "Heart"),
        ("/data/shared/Heart", "/data/sweeps", "../shared/Heart"),
        ("/data/Heart", "/home/me/sweeps", "/data/Heart"),
        ("/data/Heart", "/sweeps", "/data/Heart"),
    ],
)
def test_paths_are_relative_where_they_are_near(path: str, folder: str, written: str) -> None:
    assert near_path(Path(path), Path(folder)) == written


def test_of_many_classes_some_are_told(tmp_path: Path) -> None:
    labels = {str(value): "background" if value == 0 else f"organ {value}" for value in range(12)}
    _, text = drafted(tmp_path, write_dataset(tmp_path / "Organs", manifest={"labels": labels}))
    assert "organ 6, organ 7 and 4 more.\n" in text.splitlines(keepends=True)[0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("40x56x40", "40x56x40"),
        ("../shared/data", "../shared/data"),
        ("1e4", '"1e4"'),
        ("true", '"true"'),
        ("a # b", '"a # b"'),
        ("", '""'),
        ({"float": [1e-5, 0.1], "log": True}, "{float: [1e-05, 0.1], log: true}"),
    ],
)
def test_yaml_text(value: Any, text: str) -> None:
    assert yaml_text(value) == text


@pytest.mark.slow
def test_measured_on_this_machine(tmp_path: Path, small_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "MEASURING_SECONDS", 0.5)
    config, _ = drafted(tmp_path, small_dataset, time_job=None, trials=4)
    assert 1e5 < config.budget.maximum < 1e12


@pytest.mark.data
def test_hippocampus(tmp_path: Path, real_data: Path) -> None:
    config, text = drafted(tmp_path, real_data / "Task04_Hippocampus", group="(int(number) + 1) // 2")
    assert config.space["patch_size"]["choice"][0] == "40x56x40"
    assert "# Hippocampus: 200 cases, 1 channel (MRI), to segment Anterior and Posterior." in text
    assert "35 x 50 x 36 voxels of 1 x 1 x 1 mm" in text


@pytest.mark.data
def test_four_contrasts(tmp_path: Path, real_data: Path) -> None:
    config, text = drafted(tmp_path, real_data / "OpenMS3_1mm")
    assert config.dataset is not None
    assert config.dataset.folds == 3
    assert "4 channels (FLAIR, T1, T1POST, T2), to segment lesion." in text
