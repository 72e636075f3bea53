"""The best model's cases: which are pictured, by which process, and what becomes of them when another run is best."""

import json
import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from command_line import run_voxtune
from make_data import write_dataset
from make_sweep import DEFAULT, evaluation, open_study, sweep_directory
from optuna.artifacts import download_artifact, get_all_artifact_meta

from trainables.dataset import Dataset
from trainables.fingerprint import take_fingerprint
from trainables.layouts import read_dataset
from trainables.model_file import Model, save_model
from trainables.networks import NetworkConfig, build_network
from trainables.pictured_case import picture_cases, read_cases
from trainables.preprocessing import plan_preprocessing
from trainables.targets import plan_targets
from tuner import case_pictures
from tuner.artifacts import OF_TRIAL, artifact_store, attach_best
from tuner.best import Run
from tuner.best_cases import MOST, WORST, are_pictured, validation_scores, worth_a_picture, write_cases
from tuner.case_pictures import draw_here
from tuner.directory import SweepDirectory
from tuner.owner import own
from tuner.report import write_report
from tuner.results import read_results
from tuner.storage import open_storage
from tuner.study import SweepStudy

CASES = ("case_001", "case_002", "case_003")


def run(number: int, score: float = 0.8) -> Run:
    return Run(study="sweep", number=number, seed=0, step=1000, score=score)


class Sweep:
    """A sweep over three blobs, of whose trials only the models and what the study says of them are real."""

    def __init__(self, folder: Path) -> None:
        self.dataset: Dataset = read_dataset(write_dataset(folder / "Blobs", cases=len(CASES)))
        self.directory = sweep_directory(
            folder / "runs" / "blobs", changes={"dataset": {"path": str(folder / "Blobs")}}
        )
        self.study: SweepStudy = open_study(open_storage(None, self.directory.journal, owner=True))
        self._found = take_fingerprint(self.dataset)

    def model(self, seed: int) -> Model:
        """Not trained: it finds something all the same."""
        import torch

        network = NetworkConfig(
            architecture="unet3d", in_channels=1, out_channels=3, width=4, levels=2, strides=((2, 2, 2),)
        )
        torch.manual_seed(seed)
        return Model(
            network=network,
            weights=build_network(network).state_dict(),
            plan=plan_preprocessing(self._found, self.dataset.modalities),
            targets=plan_targets(self.dataset.labels, None),
            modalities=self.dataset.modalities,
            patch_size=(16, 16, 16),
            training={},
        )

    def finish(self, score: float, *, cases: Sequence[str] = CASES, off: float = 0.0) -> int:
        """A trial to the full budget. `off`: by how much what the study says of its cases is more than the truth."""
        number = self.study.ask().number
        model = self.model(number)
        drawn = picture_cases(model, read_cases(self.dataset, model, cases), device="cpu")
        dice = {case.name: {name: value + off for name, value in case.dice.items()} for case in drawn}
        self.study.report(number, 1000, evaluation(score, 1000, cases=dice))
        self.study.finish(number, "full budget")
        save_model(self.directory.checkpoints / f"sweep_{number:04d}" / "attempt_1" / "model.pt", model)
        return number

    def listed(self) -> dict:
        return json.loads(self.directory.best_cases.read_text())

    def attached(self) -> list[str]:
        return sorted(meta.filename for meta in get_all_artifact_meta(self.study.optuna))


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path)


def drawn(sweep: "Sweep") -> str | None:
    return draw_here(sweep.directory, read_results(sweep.directory))


def test_few_cases_are_all_pictured() -> None:
    cases = [f"case_{number:03d}" for number in range(MOST)]
    assert worth_a_picture(cases) == cases
    assert worth_a_picture([]) == []


@pytest.mark.parametrize("count", [MOST + 1, 200, 5000])
def test_of_many_cases_the_worst_and_an_even_choice_up_to_the_best(count: int) -> None:
    cases = [f"case_{number:04d}" for number in range(count)]
    chosen = worth_a_picture(cases)
    assert len(set(chosen)) == len(chosen) == MOST
    assert chosen == sorted(chosen)
    assert chosen[:WORST] == cases[:WORST]
    assert chosen[-1] == cases[-1]
    places = [cases.index(case) for case in chosen[WORST:]]
    steps = {after - before for before, after in pairwise(places)}
    assert max(steps) - min(steps) <= 1


def test_all_cases_are_listed_and_another_runs_pictures_go(tmp_path: Path) -> None:
    directory = SweepDirectory.create(tmp_path / "heart")
    scores = {"first/../x": {"a": 0.5, "b": 0.7}, "second": {"a": 0.9, "b": 0.9}}
    write_cases(directory, run(7), scores, {"first/../x": b"1", "second": b"2"})
    assert json.loads(directory.best_cases.read_text()) == {
        "run": "sweep:7",
        "part": "validation",
        "rows": "truth above, prediction below, each plane where they differ most (a red, b blue)",
        "cases": [
            {"case": "first/../x", "dice": 0.6, "classes": {"a": 0.5, "b": 0.7}, "picture": "cases/0001.jpg"},
            {"case": "second", "dice": 0.9, "classes": {"a": 0.9, "b": 0.9}, "picture": "cases/0002.jpg"},
        ],
    }
    assert (directory.case_pictures / "0002.jpg").read_bytes() == b"2"
    assert are_pictured(directory, run(7))
    assert not are_pictured(directory, run(8))

    write_cases(directory, run(8), scores, {"first/../x": b"3"})
    assert [path.name for path in directory.case_pictures.iterdir()] == ["0001.jpg"]
    assert "picture" not in json.loads(directory.best_cases.read_text())["cases"][1]
    assert are_pictured(directory, run(8))
    directory.best_cases.write_text("{")
    assert not are_pictured(directory, run(8))


def test_the_best_runs_cases_are_drawn_once_with_the_studys_dice(sweep: Sweep) -> None:
    sweep.finish(0.7)
    number = sweep.finish(0.8)
    assert drawn(sweep) is None
    listed = sweep.listed()
    assert listed["run"] == f"sweep:{number}"
    truth = sweep.study.trials()[number].user_attrs["cases"]
    assert {case["case"]: case["classes"] for case in listed["cases"]} == truth
    assert [case["dice"] for case in listed["cases"]] == sorted(case["dice"] for case in listed["cases"])
    results = read_results(sweep.directory)
    scores = results.case_scores(results.best.run)
    assert {case["case"]: case["dice"] for case in listed["cases"]} == pytest.approx(scores.to_dict(), abs=1e-12)
    for case in listed["cases"]:
        picture = sweep.directory.best_cases.parent / case["picture"]
        assert picture.read_bytes().startswith(b"\xff\xd8\xff")
        picture.write_bytes(b"drawn before")
    assert drawn(sweep) is None
    assert (sweep.directory.case_pictures / "0001.jpg").read_bytes() == b"drawn before"


def test_when_the_best_changes_pictures_follow_and_each_best_has_its_artifacts(sweep: Sweep, tmp_path: Path) -> None:
    first = sweep.finish(0.7)
    drawn(sweep)
    attach_best(sweep.directory, sweep.study.optuna)
    attach_best(sweep.directory, sweep.study.optuna)
    names = sweep.attached()
    told = [
        f"case_{rank}_of_3_dice_{case['dice']:.3f}_{case['case']}.jpg"
        for rank, case in enumerate(sweep.listed()["cases"], 1)
    ]
    assert names == [f"sweep_{first:04d}_{name}" for name in (*told, "config.yaml")]
    assert len(list(sweep.directory.artifacts.iterdir())) == 4

    second = sweep.finish(0.9)
    drawn(sweep)
    assert sweep.listed()["run"] == f"sweep:{second}"
    attach_best(sweep.directory, sweep.study.optuna)
    both = sweep.attached()
    assert set(names) < set(both)
    assert len(both) == 8
    assert len(list(sweep.directory.artifacts.iterdir())) == 8

    # As optuna-dashboard looks for them, and as Optuna gives them back.
    known = sweep.study.optuna._storage.get_study_system_attrs(sweep.study.optuna._study_id)
    for number in (first, second):
        trial = sweep.study.trials()[number]._trial_id
        prefix = OF_TRIAL.format(trial=trial, artifact="")
        metas = [json.loads(value) for key, value in known.items() if key.startswith(prefix)]
        assert {meta["filename"].split("_")[1] for meta in metas} == {f"{number:04d}"}
        (config,) = (meta for meta in metas if meta["filename"].endswith("_config.yaml"))
        copy = tmp_path / f"{number}.yaml"
        download_artifact(
            artifact_store=artifact_store(sweep.directory), artifact_id=config["artifact_id"], file_path=str(copy)
        )
        assert yaml.safe_load(copy.read_text())["parameters"]["learning_rate"] == pytest.approx(
            sweep.study.trials()[number].params["learning_rate"]
        )
    open_storage(None, sweep.directory.journal)  # the journal is as readers want it


def test_of_many_cases_the_worst_three_the_middle_and_the_best_are_attached(tmp_path: Path) -> None:
    directory = sweep_directory(tmp_path / "heart")
    study = open_study(open_storage(None, directory.journal, owner=True))
    number = study.ask().number
    study.report(number, 1000, evaluation(0.8, 1000))
    study.finish(number, "full budget")
    name = "é" * 120  # 240 bytes
    scores = {f"{name[rank:]}": {"a": rank / 100} for rank in range(100)}
    write_cases(directory, run(number), scores, dict.fromkeys(worth_a_picture(list(scores)), b"picture"))
    attach_best(directory, study.optuna)
    *pictures, _ = sorted(meta.filename for meta in get_all_artifact_meta(study.optuna))
    assert [int(picture.split("_")[3]) for picture in pictures[:3]] == [1, 2, 3]
    assert abs(int(pictures[3].split("_")[3]) - 50) <= 2
    assert pictures[4].startswith(f"sweep_{number:04d}_case_100_of_100_dice_0.990_é")
    assert len(pictures) == 5


def test_what_a_list_of_cases_names_elsewhere_is_not_attached(tmp_path: Path) -> None:
    directory = sweep_directory(tmp_path / "heart")
    study = open_study(open_storage(None, directory.journal, owner=True))
    number = study.ask().number
    study.report(number, 1000, evaluation(0.8, 1000))
    study.finish(number, "full budget")
    (tmp_path / "private.jpg").write_bytes(b"mine")
    write_cases(directory, run(number), {"a/../b": {"a": 0.5}}, {"a/../b": b"picture"})
    listed = json.loads(directory.best_cases.read_text())
    for place in ("../../private.jpg", str(tmp_path / "private.jpg"), "link.jpg"):
        (directory.best_cases.parent / "link.jpg").unlink(missing_ok=True)
        (directory.best_cases.parent / "link.jpg").symlink_to(tmp_path / "private.jpg")
        cases = [{**listed["cases"][0], "picture": place}]
        directory.best_cases.write_text(json.dumps({**listed, "cases": cases}))
        attach_best(directory, study.optuna)
        assert not [meta for meta in get_all_artifact_meta(study.optuna) if meta.filename.endswith(".jpg")]
    directory.best_cases.write_text(json.dumps(listed))
    attach_best(directory, study.optuna)
    names = [meta.filename for meta in get_all_artifact_meta(study.optuna)]
    assert f"sweep_{number:04d}_case_1_of_1_dice_0.500_a_.._b.jpg" in names


def test_without_data_or_model_or_beside_a_driver_nothing_is_drawn(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert drawn(sweep) is None  # no trial yet
    number = sweep.finish(0.8)
    with own(sweep.directory.root):
        assert drawn(sweep) == "the sweep's driver is at work; it makes them in the end"
    (tmp_path / "Blobs").rename(tmp_path / "elsewhere")
    assert drawn(sweep) == f"the data set is not at {tmp_path / 'Blobs'}"
    (tmp_path / "elsewhere").rename(tmp_path / "Blobs")
    with monkeypatch.context() as full:
        full.setattr("trainables.pictured_case.overlay", lambda *_, **__: [][1])
        assert drawn(sweep) == "IndexError: list index out of range"
    shutil.rmtree(sweep.directory.checkpoints)
    sweep.directory.best_model.unlink()
    assert drawn(sweep) == f"the model of sweep:{number} is not at hand"
    sweep.directory.best_model.write_bytes(b"what a user's own run writes")
    assert drawn(sweep).startswith(f"{sweep.directory.best_model}: not a voxtune model")
    assert not sweep.directory.best_cases.exists()
    assert write_report(sweep.directory).best_config


def test_other_data_than_the_sweeps_are_noticed(sweep: Sweep) -> None:
    sweep.finish(0.8, off=0.1)
    assert drawn(sweep) == (
        "the Dice of a case differs by 0.100 on average from the study's: the data set or the model at hand is not "
        "what sweep:0 was evaluated with"
    )
    assert not sweep.directory.best_cases.exists()


def test_a_sweep_that_ended_without_data_has_its_configuration_attached(tmp_path: Path) -> None:
    directory = sweep_directory(tmp_path / "toy", changes={"dataset": None, "trainable": "trainables.toy:ToyRun"})
    study = open_study(open_storage(None, directory.journal, owner=True))
    attach_best(directory, study.optuna)
    assert not directory.artifacts.exists()
    study.enqueue(DEFAULT)
    study.report(study.ask().number, 1000, evaluation(0.8, 1000))
    study.finish(0, "full budget")
    attach_best(directory, study.optuna)
    assert [meta.filename for meta in get_all_artifact_meta(study.optuna)] == ["sweep_0000_config.yaml"]


def test_what_takes_too_long_is_left_out_worst_cases_first(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep.finish(0.8)
    monkeypatch.setattr(case_pictures, "MOST_SECONDS", 0.0)
    assert drawn(sweep) is None
    assert ["picture" in case for case in sweep.listed()["cases"]] == [True, False, False]


def test_report_draws_what_is_missing(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    number = sweep.finish(0.8)
    ended = run_voxtune("report", "blobs", monkeypatch=monkeypatch, capsys=capsys)
    assert (ended.code, ended.err) == (0, "")
    assert "No pictures" not in ended.out
    assert sweep.listed()["run"] == f"sweep:{number}"
    assert list(validation_scores(read_results(sweep.directory), run(number))) == [
        case["case"] for case in sweep.listed()["cases"]
    ]
    sweep.finish(0.9)
    (tmp_path / "Blobs").rename(tmp_path / "elsewhere")
    ended = run_voxtune("report", "blobs", monkeypatch=monkeypatch, capsys=capsys)
    assert ended.code == 0
    assert ended.out.startswith(f"No pictures of the best model's cases: the data set is not at {tmp_path}/Blobs\n")
