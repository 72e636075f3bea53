"""Which trainings on folds are queued, kept and tried again, without Ray: the study is played."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from make_sweep import evaluation
from optuna.trial import TrialState
from test_fold_request import CONFIG, searched

from cluster.errors import ClusterError
from trainables.split import Split
from tuner.cross_validation import CrossValidation, place_of
from tuner.directory import SweepDirectory
from tuner.errors import StudyError, SweepDirectoryError, SweepFailed
from tuner.fold_plan import make_folder
from tuner.fold_request import plan_of_config, plan_of_run
from tuner.fold_training import FoldMeaning, FoldTraining, train_folds
from tuner.owner import own
from tuner.view import View

QUIET = View(quiet=True)


class Played:
    """Stands in for Ray: each queued training scores all its cases alike, or ends as told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trained: list[tuple[int, int]] = []
        self.failing: set[tuple[int, int]] = set()
        monkeypatch.setattr(FoldTraining, "_work_on_ray", lambda training, **options: self._play(training))

    def _play(self, training: FoldTraining) -> None:
        training.began = True
        while proposal := training.study.claim():
            place = proposal.parameters["configuration"], proposal.parameters["fold"]
            self.trained.append(place)
            if place in self.failing:
                training.study.finish(proposal.number, "error", error="Traceback\nRuntimeError: a bug")
                continue
            dice = 0.8 - 0.1 * place[0]
            cases = {case: {"one": dice} for case in training.plan.splits[place[1]].validation}
            training.study.report(proposal.number, 1000, evaluation(dice, 1000, cases=cases))
            training.study.finish(proposal.number, "full budget")


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    return Played(monkeypatch)


def trained(directory: SweepDirectory, *, top: int = 1, folds: int | None = None) -> CrossValidation:
    return train_folds(plan_of_run(directory, folds=folds, top=top, view=QUIET), QUIET)


def test_a_larger_top_adds_to_what_is_there(tmp_path: Path, small_dataset: Path, played: Played) -> None:
    directory = searched(tmp_path, small_dataset, [0.5, 0.8, 0.7])
    assert trained(directory).ranking == [1]
    assert played.trained == [(1, 0), (1, 1), (1, 2)]
    assert trained(directory, top=3).ranking == [0, 1, 2]
    assert played.trained[3:] == [(2, 0), (2, 1), (2, 2), (0, 0), (0, 1), (0, 2)]
    assert trained(directory, top=1).ranking == [0, 1, 2]
    assert len(played.trained) == 9
    figures = json.loads((directory.folds / "cross_validation.json").read_text())
    assert figures["best"] == 0
    assert figures["differences"][0] | {"low": None, "high": None} == {
        "to": 1,
        "mean": pytest.approx(0.1),
        "low": None,
        "high": None,
        "better": 6,
    }
    config = (directory.folds / "config.yaml").read_text()
    assert config.startswith("# Sweep blobs, trial 0: ")


def test_what_failed_is_tried_again(tmp_path: Path, small_dataset: Path, played: Played) -> None:
    directory = searched(tmp_path, small_dataset, [0.5, 0.8])
    played.failing = {(1, 1)}
    with pytest.raises(SweepFailed, match=r"1 of 6 trainings gave no result, .*RuntimeError: a bug; the same command "):
        trained(directory, top=2)
    assert "**Trial 0: cross-validated Dice 0.8000**" in (directory.folds / "cross_validation.md").read_text()
    played.failing, played.trained = set(), []
    assert trained(directory, top=2).ranking == [0, 1]
    assert played.trained == [(1, 1)]


def test_nothing_trained_at_all(tmp_path: Path, small_dataset: Path, played: Played) -> None:
    directory = searched(tmp_path, small_dataset, [0.5])
    played.failing = {(0, fold) for fold in range(3)}
    with pytest.raises(SweepFailed, match="3 of 3 trainings gave no result"):
        trained(directory)
    assert not directory.folds.exists()


def test_other_folds_than_before_are_refused(tmp_path: Path, small_dataset: Path, played: Played) -> None:
    directory = searched(tmp_path, small_dataset, [0.5])
    trained(directory)
    with pytest.raises(StudyError, match=r"differing: folds: was 3, now 2\. Put them back, or train its best "):
        trained(directory, folds=2)


def write_config(folder: Path, dataset: Path, **parameters: Any) -> Path:
    path = folder / "config.yaml"
    content = {**CONFIG, "dataset": {"path": str(dataset), "folds": 3}, "cache": str(folder / "cache")}
    path.write_text(yaml.safe_dump({**content, "parameters": {**CONFIG["parameters"], **parameters}}))
    return path


def test_a_configuration_in_a_folder_of_its_own(tmp_path: Path, small_dataset: Path, played: Played) -> None:
    def train(**parameters: Any) -> CrossValidation:
        path = write_config(tmp_path, small_dataset, **parameters)
        plan = plan_of_config(path, tmp_path / "out", folds=None, device=None, threads=None, view=QUIET)
        return train_folds(plan, QUIET)

    assert train().ranking == [0]
    assert train().ranking == [0]
    assert played.trained == [(0, 0), (0, 1), (0, 2)]
    page = (tmp_path / "out" / "cross_validation.md").read_text()
    assert page.startswith(
        "# Cross-validation of a configuration\n\n**The configuration: cross-validated Dice 0.8000**"
    )
    assert not (tmp_path / "out" / "config.yaml").exists()
    with pytest.raises(StudyError, match=r"differing: parameters\.width: was 4, now 8\. Put them back, or c"):
        train(width=8)


def test_what_could_not_begin_leaves_no_folder(
    tmp_path: Path, small_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(training: FoldTraining, **options: Any) -> None:
        raise ClusterError("no cluster")

    monkeypatch.setattr(FoldTraining, "_work_on_ray", refuse)
    path = write_config(tmp_path, small_dataset)
    plan = plan_of_config(path, tmp_path / "out", folds=None, device=None, threads=None, view=QUIET)
    with pytest.raises(ClusterError):
        train_folds(plan, QUIET)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_another_driver_has_just_begun_is_left_to_it(tmp_path: Path, small_dataset: Path) -> None:
    path = write_config(tmp_path, small_dataset)
    plan = plan_of_config(path, tmp_path / "out", folds=None, device=None, threads=None, view=QUIET)
    make_folder(plan)
    with own(tmp_path / "out"), pytest.raises(SweepDirectoryError, match="is being worked on by process"):
        train_folds(plan, QUIET)
    assert (tmp_path / "out" / "environment.json").is_file()


def test_an_ensemble_of_a_trainable_without_models(tmp_path: Path, small_dataset: Path, played: Played) -> None:
    directory = searched(tmp_path, small_dataset, [0.5])
    plan = plan_of_run(directory, folds=None, top=1, view=QUIET)
    with pytest.raises(SweepFailed, match="--ensemble: trial 0 of the folds left no model"):
        train_folds(plan, QUIET, ensemble=True)


def test_an_ensemble_without_test_cases_has_no_honest_figure(
    tmp_path: Path, small_dataset: Path, played: Played
) -> None:
    directory = searched(tmp_path, small_dataset, [0.5])
    for number in range(3):
        model = directory.checkpoints / f"folds_{number:04d}" / "attempt_1" / "model.pt"
        model.parent.mkdir(parents=True)
        model.write_text(f"model {number}")
    stale = directory.folds / "ensemble" / "fold_9.pt"
    stale.parent.mkdir(parents=True)
    stale.write_text("of an earlier ensemble")
    train_folds(plan_of_run(directory, folds=None, top=1, view=QUIET), QUIET, ensemble=True)
    found = {path.name: path.read_text() for path in (directory.folds / "ensemble").iterdir()}
    assert found == {f"fold_{number}.pt": f"model {number}" for number in range(3)}
    page = (directory.folds / "cross_validation.md").read_text()
    assert "How good it is can't be told: every case was trained on by all members but one" in page
    trained(directory)  # without --ensemble what is there is still told
    assert "## Ensemble" in (directory.folds / "cross_validation.md").read_text()


def test_a_trials_parameters_stand_for_a_configuration_and_a_split() -> None:
    splits = [Split(train=("b",), validation=("a",), test=()), Split(train=("a",), validation=("b",), test=())]
    meaning = FoldMeaning({"7": {"width": 8}}, splits)
    assert meaning({"configuration": 7, "fold": 1}) == ({"width": 8}, {"train": ["a"], "validation": ["b"]})


def test_the_places_of_waiting_trials_are_known(tmp_path: Path, small_dataset: Path, played: Played) -> None:
    directory = searched(tmp_path, small_dataset, [0.5])
    training = FoldTraining(plan_of_run(directory, folds=None, top=1, view=QUIET), QUIET)
    training.study = training._open()
    assert training._enqueue_missing() == training._enqueue_missing() == 3
    assert {place_of(trial) for trial in training.study.trials(TrialState.WAITING)} == {(0, 0), (0, 1), (0, 2)}
