"""What `voxtune train --folds` is to train, and what it refuses."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import Ended, run_voxtune
from make_sweep import RUNGS, evaluation, open_study, sweep_directory
from rich.console import Console

from trainables.split import fold_splits
from tuner import fold_request
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.errors import OutputError, SweepConfigError
from tuner.fold_request import plan_of_config, plan_of_run, top_configurations
from tuner.preparation import Prepared
from tuner.results import read_results
from tuner.storage import open_storage
from tuner.study import SweepStudy
from tuner.train import TrainConfig
from tuner.view import View

TINY = {"levels": 2, "width": 4, "patch_size": 16}
CONFIG = {"parameters": {**TINY, "learning_rate": 1e-2}, "budget": {"unit": "steps", "maximum": 9}, "device": "cpu"}

Voxtune = Callable[..., Ended]


@pytest.fixture
def voxtune(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Voxtune:
    return lambda *arguments: run_voxtune(*arguments, monkeypatch=monkeypatch, capsys=capsys)


def searched(folder: Path, data: Path | None, scores: list[float], **changes: Any) -> SweepDirectory:
    """A sweep whose trials reached the full budget with these Dice."""
    content = {
        "dataset": data and {"path": str(data), "folds": 3},
        "training": TINY,
        "space": {"learning_rate": {"float": [1e-3, 1e-1], "log": True}},
        "default": {},
        "budget": {"unit": "steps", "maximum": 9},
        "cache": str(folder / "cache"),
        **changes,
    }
    split = {"train": [], "validation": ["case_001"], "test": []}
    directory = sweep_directory(
        folder / "blobs", trials=max(1, len(scores)), changes=content, split=split, environment={}
    )
    study = study_of(directory)
    for score in scores:
        finish(study, score)
    return directory


def study_of(directory: SweepDirectory, name: str = "sweep") -> SweepStudy:
    space = SweepConfig.read(directory.sweep_file).search_space
    return open_study(open_storage(None, directory.journal, owner=True), name=name, space=space)


def finish(study: SweepStudy, score: float) -> None:
    number = study.ask().number
    study.report(number, RUNGS[-1], evaluation(score, RUNGS[-1]))
    study.finish(number, "full budget")


def test_each_case_validates_once_and_groups_stay_together() -> None:
    groups = {f"case_{number:02d}": str(number // 2) for number in range(20)}
    splits = fold_splits(groups, folds=4, test_fraction=0.2, seed=3)
    assert len(splits) == 4
    assert len({split.test for split in splits}) == 1
    validated = [case for split in splits for case in split.validation]
    assert len(set(validated)) == len(validated) == 16
    for split in splits:
        assert not {groups[case] for case in split.validation} & {groups[case] for case in split.train}
        assert not {*split.train, *split.validation} & set(split.test)


def test_the_best_of_a_sweep_on_its_folds(tmp_path: Path, small_dataset: Path) -> None:
    directory = searched(tmp_path, small_dataset, [0.5, 0.8, 0.7])
    plan = plan_of_run(directory, folds=None, top=2, view=View(quiet=True))
    assert list(plan.configurations) == [1, 2]
    rate = read_results(directory).sweep_trials[1].params["learning_rate"]
    assert plan.configurations[1] == {**TINY, "learning_rate": rate}
    assert len(plan.splits) == 3
    assert plan.prepared.split == plan.splits[0]
    assert plan.chosen_on == {"case_001"}
    assert plan.seed == 3  # 0 searched, 1 and 2 would confirm
    assert plan.output == directory.root / "folds"


def test_confirmed_configurations_come_first(tmp_path: Path, small_dataset: Path) -> None:
    directory = searched(tmp_path, small_dataset, [0.5, 0.8, 0.7])
    confirm = study_of(directory, "confirm")
    results = read_results(directory)
    for of, score in ((1, 0.60), (0, 0.65)):
        confirm.enqueue(results.sweep_trials[of].params, seed=1, of=of)
        finish(confirm, score)
    assert list(top_configurations(read_results(directory), 3, directory)) == [0, 1, 2]


def test_another_number_of_folds(tmp_path: Path, small_dataset: Path) -> None:
    directory = searched(tmp_path, small_dataset, [0.5], dataset={"path": str(small_dataset), "held_out": 0.3})
    plan = plan_of_run(directory, folds=2, top=1, view=View(quiet=True))
    assert [len(split.validation) for split in plan.splits] == [3, 3]


def test_one_configuration(tmp_path: Path, small_dataset: Path) -> None:
    path = tmp_path / "config.yaml"
    dataset = {"path": str(small_dataset), "folds": 3, "fold": 1}
    path.write_text(yaml.safe_dump({**CONFIG, "dataset": dataset, "seed": 5, "cache": str(tmp_path / "cache")}))
    plan = plan_of_config(path, tmp_path / "out", folds=None, device=None, threads=2, view=View(quiet=True))
    assert plan.configurations == {0: CONFIG["parameters"]}
    assert (plan.seed, len(plan.splits), plan.config.resources.cpus_per_trial) == (5, 3, 2)
    assert plan.space.fixed == {"configuration": 0}
    assert not (tmp_path / "out").exists()


def test_what_a_configuration_becomes(tmp_path: Path, small_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another number of folds than the file has, on a machine with a GPU, which the file does not ask for by itself."""
    path, cache = tmp_path / "config.yaml", tmp_path / "cache"
    preprocessing = {"spacing": [1.0, 1.0, 1.0]}
    content = {key: value for key, value in CONFIG.items() if key != "device"} | {
        "threads": 3,
        "seed": 5,
        "cache": str(cache),
    }
    content |= {"dataset": {"path": str(small_dataset), "held_out": 0.3}, "preprocessing": preprocessing}
    path.write_text(yaml.safe_dump(content))
    monkeypatch.setattr(fold_request, "cuda_devices", lambda: ())
    plan = plan_of_config(path, tmp_path / "out", folds=2, device=None, threads=None, view=View(quiet=True))
    config = plan.config
    assert (config.resources.cpus_per_trial, config.resources.gpus_per_trial) == (3, 0)
    assert config.dataset is not None
    assert (config.dataset.folds, config.dataset.fold, config.dataset.held_out) == (2, 0, None)
    assert (config.budget.unit, config.budget.maximum, config.cache) == ("steps", 9, cache)
    assert config.preprocessing.spacing == (1.0, 1.0, 1.0)
    assert (config.name, config.trainable) == ("folds", "trainables.segmentation:SegmentationRun")
    assert config.space == {"fold": {"int": [0, 1]}}
    assert (config.search.trials, config.search.stop_early, config.confirm.top) == (2, False, 0)
    assert (plan.seed, config.search.seed) == (5, 5)
    assert plan.prepared.split == plan.splits[0]
    assert plan.prepared.volumes.folder.is_relative_to(cache)
    assert plan.groups.keys() == {case for split in plan.splits for case in split.validation}
    assert (plan.directory.root, plan.output, plan.instead) == (tmp_path / "out",) * 2 + ("choose another --output",)
    prepare, kinds = fold_request.prepare_config, []

    def prepare_without_gpu(file: TrainConfig, source: Path, device: str, view: View) -> Prepared | None:
        kinds.append(device)
        return prepare(file, source, "cpu", view)

    monkeypatch.setattr(fold_request, "cuda_devices", lambda: ("a GPU",))
    monkeypatch.setattr(fold_request, "prepare_config", prepare_without_gpu)
    for device, gpus in ((None, 1), ("cuda", 1), ("cpu", 0)):
        plan = plan_of_config(path, tmp_path / "out", folds=2, device=device, threads=None, view=View(quiet=True))
        assert plan.config.resources.gpus_per_trial == gpus
    assert kinds == ["cuda", "cuda", "cpu"]


def test_a_configuration_of_another_training_run(tmp_path: Path, small_dataset: Path) -> None:
    path, toy = tmp_path / "config.yaml", "trainables.toy:ToyRun"
    content = {**CONFIG, "trainable": toy, "parameters": {"learning_rate": 0.1}, "cache": str(tmp_path / "cache")}
    path.write_text(yaml.safe_dump({**content, "dataset": {"path": str(small_dataset)}}))
    plan = plan_of_config(path, tmp_path / "out", folds=2, device=None, threads=None, view=View(quiet=True))
    assert (plan.config.trainable, plan.configurations) == (toy, {0: {"learning_rate": 0.1}})


def test_a_folder_that_was_begun_is_gone_on_with_and_a_sweep_s_is_not(tmp_path: Path, small_dataset: Path) -> None:
    path, output = tmp_path / "config.yaml", SweepDirectory.create(tmp_path / "out")
    content = {**CONFIG, "dataset": {"path": str(small_dataset)}, "cache": str(tmp_path / "cache")}
    path.write_text(yaml.safe_dump(content))
    output.journal.touch()
    plan = plan_of_config(path, output.root, folds=2, device=None, threads=None, view=View(quiet=True))
    assert plan.output == output.root
    output.sweep_file.touch()
    with pytest.raises(OutputError, match=f"^{output.root} exists already and holds no trainings on folds"):
        plan_of_config(path, output.root, folds=2, device=None, threads=None, view=View(quiet=True))


def test_code_of_a_configuration_is_told_and_must_be_there(tmp_path: Path, small_dataset: Path) -> None:
    path, told = tmp_path / "config.yaml", io.StringIO()
    path.write_text(yaml.safe_dump({**CONFIG, "dataset": {"path": str(small_dataset)}, "trainable": "nowhere:Run"}))
    with pytest.raises(SweepConfigError, match=f"^{path}: trainable: "):
        plan_of_config(path, tmp_path / "out", folds=2, device=None, threads=None, view=View(Console(file=told)))
    assert " ".join(told.getvalue().split()).endswith("config.yaml names code, which is run: nowhere:Run")


def refused(ended: Ended, message: str) -> None:
    assert ended.code == 2, ended
    said = " ".join(ended.err.split())
    assert said.startswith(f"error: {message}"), said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--folds", "some"], "--folds: 'some' is neither all nor a whole number"),
        (["--folds", "1"], "--folds: 1 is less than 2"),
        (["--folds", "0"], "--folds: 0 is less than 2"),
        (["--folds", "99"], "--folds: 99 need as many groups of cases outside the test set, there are 6"),
        (["--folds", "all", "--top", "4"], "--top: 4 configurations are asked for, and 2 of "),
        (["--folds", "all", "-o", "elsewhere"], "--output: goes with a CONFIG; "),
        (["--folds", "all", "--device", "cpu"], "--device: goes with a CONFIG; "),
        (["--top", "2"], "--top: goes with --folds; "),
        (["--ensemble"], "--ensemble: goes with --folds; "),
    ],
)
def test_what_a_sweep_is_refused(
    tmp_path: Path, small_dataset: Path, voxtune: Voxtune, options: list[str], message: str
) -> None:
    directory = searched(tmp_path, small_dataset, [0.5, 0.6])
    refused(voxtune("train", directory.root, *options), message)
    assert not directory.folds.exists()


def test_data_that_changed_since_the_sweep(tmp_path: Path, small_dataset: Path, voxtune: Voxtune) -> None:
    directory = searched(tmp_path, small_dataset, [0.5])
    directory.environment_file.write_text('{"dataset": {"content_hash": "0123456789abcdef"}}')
    ended = voxtune("train", directory.root, "--folds", "all")
    refused(ended, f"{directory.root}: the data set has changed since the sweep searched on it (content 01234567, now ")


def test_a_sweep_needs_folds(tmp_path: Path, small_dataset: Path, voxtune: Voxtune) -> None:
    directory = searched(tmp_path, small_dataset, [0.5])
    refused(voxtune("train", directory.root), f"{directory.root} is a sweep: --folds all trains its best ")
    refused(voxtune("train", "blobs", "--runs", tmp_path), f"{directory.root} is a sweep: --folds all ")


def test_a_sweep_that_brought_nothing_to_the_end(tmp_path: Path, small_dataset: Path, voxtune: Voxtune) -> None:
    directory = searched(tmp_path, small_dataset, [])
    study = study_of(directory)
    study.report(study.ask().number, RUNGS[0], evaluation(0.4, RUNGS[0]))
    ended = voxtune("train", directory.root, "--folds", "all")
    refused(ended, f"{directory.root}: no trial has reached the full budget (the furthest of 1 begun is at 11%), ")
    assert f"voxtune resume {directory.root}" in " ".join(ended.err.split())


def test_a_sweep_without_folds_or_without_data(tmp_path: Path, small_dataset: Path, voxtune: Voxtune) -> None:
    held_out = {"path": str(small_dataset), "held_out": 0.3}
    directory = searched(tmp_path / "held", small_dataset, [0.5], dataset=held_out)
    refused(voxtune("train", directory.root, "--folds", "all"), f"--folds: all are none: {directory.sweep_file} has ")
    toy = searched(tmp_path / "toy", None, [0.5], trainable="trainables.toy:ToyRun")
    refused(voxtune("train", toy.root, "--folds", "all"), f"{toy.sweep_file}: dataset: --folds deals cases into folds")


def test_what_a_configuration_is_refused(tmp_path: Path, small_dataset: Path, voxtune: Voxtune) -> None:
    path, output = tmp_path / "config.yaml", tmp_path / "out"
    content = {**CONFIG, "dataset": {"path": str(small_dataset), "folds": 3}, "cache": str(tmp_path / "cache")}
    path.write_text(yaml.safe_dump(content))
    arguments = ("train", path, "--folds", "all", "-o", output)
    refused(voxtune(*arguments, "--top", "2"), f"--top: {path} is one configuration; ")
    refused(voxtune(*arguments, "--device", "cuda:1"), "--device: with --folds cpu or cuda, got cuda:1; ")
    output.mkdir()
    (output / "model.pt").write_text("mine")
    refused(voxtune(*arguments), f"{output} exists already and holds no trainings on folds: choose another --output")
    path.write_text(yaml.safe_dump({**content, "parameters": {"widht": 8}}))
    (output / "model.pt").unlink()
    refused(voxtune(*arguments), f"{path}: parameters.widht: not a setting of a segmentation run")
    held_out = {"path": str(small_dataset), "held_out": 0.3}
    path.write_text(yaml.safe_dump({**content, "dataset": held_out}))
    refused(voxtune(*arguments), f"--folds: all are none: {path} has a share held_out instead; say into how many the ")
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if key != "dataset"}))
    refused(voxtune(*arguments), f"{path}: dataset is needed to train a segmentation")
    toy = {"trainable": "trainables.toy:ToyRun", "parameters": {"learning_rate": 0.1}, "budget": CONFIG["budget"]}
    path.write_text(yaml.safe_dump(toy))
    refused(voxtune(*arguments), f"{path}: dataset: --folds deals cases into folds, and no data set is named")
    assert list(output.iterdir()) == []
