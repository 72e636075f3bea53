"""The command line as a user meets it: help, messages and exit codes."""

import errno
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nibabel as nib
import pytest
from command_line import Ended, run_voxtune
from make_data import write_dataset
from make_model import make_model
from make_sweep import open_study, sweep_directory

from trainables.intensity_range import IntensityRange
from trainables.model_file import save_model
from trainables.predictor import Predictor
from trainables.toy import ToyRun
from tuner.directory import SweepDirectory
from tuner.errors import SweepInterrupted
from tuner.storage import open_storage
from tuner.view import View

TOY_TRAINING = """\
trainable: trainables.toy:ToyRun
budget: {unit: steps, maximum: 90}
"""
TOY = f"{TOY_TRAINING}parameters: {{learning_rate: 1e-3}}\n"


Voxtune = Callable[..., Ended]


@pytest.fixture
def voxtune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Voxtune:
    """Runs a command in the folder `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*arguments: object) -> Ended:
        ended = run_voxtune(*arguments, monkeypatch=monkeypatch, capsys=capsys)
        assert isinstance(ended.code, int), ended.code
        return ended

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that has learned nothing, for data sets like `small_dataset`."""
    save_model(tmp_path / "model.pt", make_model())
    return tmp_path / "model.pt"


def test_version(voxtune: Voxtune) -> None:
    assert voxtune("--version") == Ended(code=0, out=f"voxtune {version('voxtune')}\n", err="")


def test_report_finds_a_sweep_in_another_folder(voxtune: Voxtune, tmp_path: Path) -> None:
    directory = sweep_directory(tmp_path / "elsewhere" / "heart")
    open_study(open_storage(None, directory.journal, owner=True))
    ended = voxtune("report", "heart", "--runs", "elsewhere")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"Report: {directory.report_page}\n"
    assert (directory.report / "report.md").read_text().startswith("# ")


def test_no_sweep_of_that_name(voxtune: Voxtune) -> None:
    ended = voxtune("report", "heart", "--runs", "elsewhere")
    assert ended.code == 2
    assert ended.err == "error: no sweep at heart or elsewhere/heart: a sweep's directory holds a sweep.yaml\n"


def test_resume_finds_a_sweep_in_another_folder(
    voxtune: Voxtune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[SweepDirectory, dict[str, object]]] = []

    def resume(directory: SweepDirectory, **options: object) -> None:
        asked.append((directory, options))
        raise SweepInterrupted("stopped")

    monkeypatch.setattr("tuner.sweep.resume_sweep", resume)
    directory = sweep_directory(tmp_path / "elsewhere" / "heart")
    for options, confirm, trials in (((), True, None), (("--no-confirm", "--trials", 9), False, 9)):
        assert voxtune("resume", "heart", "--runs", "elsewhere", *options) == Ended(code=130, out="stopped\n", err="")
        found, given = asked.pop()
        assert found == directory
        assert (given["confirm"], given["trials"], given["address"]) == (confirm, trials, None)


def test_a_sweep_file_of_which_there_is_no_run_can_not_be_resumed(voxtune: Voxtune, tmp_path: Path) -> None:
    directory = sweep_directory(tmp_path / "elsewhere" / "heart")  # a folder with a sweep file of the user's own, say
    refused = voxtune("resume", "heart", "--runs", "elsewhere")
    assert (refused.code, refused.out) == (2, "")
    assert (
        f"heart holds a sweep.yaml, but is no run of it; begin one by `voxtune run {directory.sweep_file}`"
        in refused.err
    )


def test_run_continues_what_was_begun(voxtune: Voxtune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the script of a job that is queued again asks for."""
    asked: list[tuple[object, dict[str, object]]] = []

    def stop(what: object, options: dict[str, object]) -> None:
        asked.append((what, options))
        raise SweepInterrupted("stopped")

    monkeypatch.setattr("tuner.sweep.run_sweep", lambda config, **options: stop("run", options))
    monkeypatch.setattr("tuner.sweep.resume_sweep", lambda directory, **options: stop(directory.root, options))
    (tmp_path / "toy.yaml").write_text("name: toy\nspace: {learning_rate: {float: [0, 1]}}\n" + TOY_TRAINING)
    command = ("run", "toy.yaml", "--continue", "--runs", "elsewhere", "--trials", 9, "--no-confirm")
    assert voxtune(*command).code == 130
    sweep_directory(tmp_path / "elsewhere" / "toy").environment_file.write_text("{}")
    sweep_directory(tmp_path / "toy")  # of the same name, beside the sweep file
    assert voxtune(*command).code == 130
    assert [what for what, _ in asked] == ["run", tmp_path / "elsewhere" / "toy"]
    assert (asked[1][1]["trials"], asked[1][1]["confirm"]) == (9, False)


def test_train(voxtune: Voxtune, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(TOY)
    ended = voxtune("train", "config.yaml", "--device", "cpu")
    assert (ended.code, ended.err) == (0, "")
    assert [line.split()[0] for line in ended.out.splitlines()] == ["11%", "33%", "100%", "Dice"]
    assert ended.out.endswith(". In model: scores.json\n")
    assert voxtune("train", "config.yaml") == Ended(
        code=2, out="", err="error: model/scores.json exists already: nothing was written; choose another --output\n"
    )


def test_training_that_can_not_go_on_is_the_works_failure(voxtune: Voxtune, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(TOY.replace("1e-3}", "1e-3, fail_at: 0.5}"))
    ended = voxtune("train", "config.yaml")
    assert (ended.code, ended.err) == (1, "error: the loss became nan at 100% of the budget\n")
    assert [line.split()[0] for line in ended.out.splitlines()] == ["11%", "33%"]
    assert not (tmp_path / "model").exists()


def test_training_on_a_device_that_is_not_there(voxtune: Voxtune, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(TOY)
    refused = Ended(code=2, out="", err="error: device: must be cpu, cuda or one GPU such as cuda:1, got 'foo'\n")
    assert voxtune("train", "config.yaml", "--device", "foo") == refused


def test_an_interrupted_command(voxtune: Voxtune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: ToyRun, budget: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ToyRun, "advance", interrupt)
    (tmp_path / "config.yaml").write_text(TOY)
    ended = voxtune("train", "config.yaml")
    assert (ended.code, ended.out.strip(), ended.err.strip()) == (130, "", "error: interrupted")


def test_predict(voxtune: Voxtune, model: Path, small_dataset: Path, tmp_path: Path) -> None:
    image = small_dataset / "imagesTr" / "case_001.nii.gz"
    ended = voxtune("predict", model, image, "-o", "labels", "--device", "cpu")
    assert ended == Ended(code=0, out="1 of 1 images labelled: labels\n", err="")
    assert [path.name for path in (tmp_path / "labels").iterdir()] == ["case_001.nii.gz"]


def test_predicting_a_missing_image_starts_nothing(
    voxtune: Voxtune, model: Path, small_dataset: Path, tmp_path: Path
) -> None:
    image = small_dataset / "imagesTr" / "case_001.nii.gz"
    ended = voxtune("predict", model, image, "nope.nii.gz", "-o", "labels")
    assert ended == Ended(code=2, out="", err="error: nope.nii.gz: no such file; nothing was computed\n")
    assert not (tmp_path / "labels").exists()


def test_an_image_that_fails_is_the_works_failure(
    voxtune: Voxtune, model: Path, small_dataset: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.nii.gz").write_bytes(b"broken")
    image = small_dataset / "imagesTr" / "case_001.nii.gz"
    ended = voxtune("predict", model, "broken.nii.gz", image, "-o", "labels")
    assert ended.code == 1
    assert ended.err.startswith("error: broken.nii.gz: ")
    assert ended.err.count("\n") == 1
    assert ended.out == "1 of 2 images labelled: labels\n"


def test_predicting_folders_with_an_ensemble(
    voxtune: Voxtune, model: Path, small_dataset: Path, tmp_path: Path
) -> None:
    for seed in (0, 1):
        save_model(tmp_path / "models" / f"{seed}.pt", make_model(seed, training={"flips": "xyz"}))
    ended = voxtune("predict", "models", small_dataset, "-o", "labels", "--flips", "yz", "--device", "cpu")
    assert ended == Ended(code=0, out="6 of 6 images labelled: labels\n", err="")
    assert len(list((tmp_path / "labels").iterdir())) == 6


def test_labels_are_replaced_only_where_asked(
    voxtune: Voxtune, model: Path, small_dataset: Path, tmp_path: Path
) -> None:
    image = small_dataset / "imagesTr" / "case_001.nii.gz"
    (tmp_path / "labels").mkdir()
    label = tmp_path / "labels" / image.name
    label.write_text("mine")
    refused = voxtune("predict", model, image, "-o", "labels")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("error: labels/case_001.nii.gz: exists already; nothing was computed")
    assert label.read_text() == "mine"
    assert voxtune("predict", model, image, "-o", "labels", "--overwrite", "--device", "cpu").code == 0
    assert nib.load(label).shape == (20, 24, 18)


def test_what_makes_a_label_doubtful_is_told(voxtune: Voxtune, small_dataset: Path, tmp_path: Path) -> None:
    seen = IntensityRange(lowest=(0, 0), highest=(5e4, 6e4), foreground=(1e4, 3e4))
    save_model(tmp_path / "model.pt", make_model(intensities=(seen,)))
    image = small_dataset / "imagesTr" / "case_001.nii.gz"
    ended = voxtune("predict", "model.pt", image, "-o", "labels", "--device", "cpu")
    assert (ended.code, ended.err) == (0, "")
    assert f"warning: {image}: its MRI goes from " in ended.out
    assert ended.out.endswith("1 of 1 images labelled: labels\n")


def test_an_interrupted_prediction_keeps_what_is_written(
    voxtune: Voxtune, model: Path, small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment, seen = Predictor.segment, []

    def interrupted(*arguments: Any) -> Any:
        seen.append(arguments)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return segment(*arguments)

    monkeypatch.setattr(Predictor, "segment", interrupted)
    ended = voxtune("predict", model, small_dataset, "-o", "labels", "--device", "cpu")
    assert ended == Ended(code=130, out="2 of 6 images labelled: labels\n", err="error: interrupted\n")
    assert sorted(path.name for path in (tmp_path / "labels").iterdir()) == ["case_001.nii.gz", "case_002.nii.gz"]


def test_a_case_that_can_not_be_scored_is_left_out(
    voxtune: Voxtune, model: Path, small_dataset: Path, tmp_path: Path
) -> None:
    broken = shutil.copytree(small_dataset, tmp_path / "Broken")
    image = broken / "imagesTr" / "case_002.nii.gz"
    image.write_bytes(image.read_bytes()[:1000])
    ended = voxtune("evaluate", model, broken, "--no-surface", "--device", "cpu")
    assert (ended.code, ended.err) == (1, f"error: {image}: ends too early (truncated gzip); copy it again\n")
    assert ended.out.startswith("Dice of 5 cases")
    rows = (tmp_path / "scores.csv").read_text().splitlines()
    assert (rows[0], len(rows)) == ("case,class,dice", 1 + 5 * 2)


def test_a_device_that_is_not_there(voxtune: Voxtune, model: Path, small_dataset: Path, tmp_path: Path) -> None:
    image = small_dataset / "imagesTr" / "case_001.nii.gz"
    refused = Ended(code=2, out="", err="error: device: must be cpu, cuda or one GPU such as cuda:1, got 'foo'\n")
    assert voxtune("predict", model, image, "-o", "labels", "--device", "foo") == refused
    assert not (tmp_path / "labels").exists()


def test_evaluate(voxtune: Voxtune, model: Path, small_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text('{"train": [], "validation": ["case_002", "case_004"], "test": ["case_001"]}')
    ended = voxtune("evaluate", model, small_dataset, "--cases", "split.json", "--device", "cpu")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("Dice of 2 cases")
    assert ended.out.endswith("Per case and class: scores.csv\n")
    rows = (tmp_path / "scores.csv").read_text().splitlines()
    assert rows[0] == "case,class,dice,nsd,hd95"
    assert [row.rsplit(",", 3)[0] for row in rows[1:]] == [
        f"case_00{case},class{index}" for case in (2, 4) for index in (1, 2)
    ]
    again = voxtune("evaluate", model, small_dataset, "--cases", "split.json")
    assert again == Ended(
        code=2, out="", err="error: scores.csv exists already: nothing was written; choose another --output\n"
    )


def test_evaluating_a_sweeps_model_on_cases_that_trained_it_is_told(
    voxtune: Voxtune, model: Path, small_dataset: Path, tmp_path: Path
) -> None:
    best = tmp_path / "runs" / "heart" / "best"
    best.mkdir(parents=True)
    shutil.copy(model, best)
    (best.parent / "sweep.yaml").write_text("")
    split = best.parent / "split.json"
    split.write_text('{"train": ["case_001", "case_003"], "validation": ["case_002"], "test": []}')
    (tmp_path / "cases.txt").write_text("case_001\ncase_002\n")
    given = ("evaluate", best / model.name, small_dataset, "--no-surface", "--device", "cpu")
    told = voxtune(*given, "--cases", "cases.txt")
    assert told.code == 0
    warning = "warning: the model was trained on 1 of the 2 cases, and what it finds there says little of others"
    assert f"{warning}; those that it never saw: --cases {split}" in " ".join((told.out + told.err).split())
    (tmp_path / "scores.csv").unlink()
    fair = voxtune(*given, "--cases", split)
    assert (fair.code, fair.err) == (0, "")
    assert "warning" not in fair.out
    # What a fold's model was trained on is not what the sweep's split says.
    ensemble = best.parent / "folds" / "ensemble"
    ensemble.mkdir(parents=True)
    shutil.copy(model, ensemble / "fold_0.pt")
    (tmp_path / "scores.csv").unlink()
    fold = voxtune("evaluate", ensemble / "fold_0.pt", *given[2:], "--cases", "cases.txt")
    assert (fold.code, fold.err) == (0, "")
    assert "warning" not in fold.out


def test_evaluating_on_labels_of_another_name_is_told(
    voxtune: Voxtune, model: Path, small_dataset: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(small_dataset, tmp_path / "Other")
    manifest = other / "dataset.json"
    manifest.write_text(manifest.read_text().replace("class2", "spleen"))
    ended = voxtune("evaluate", model, other, "--device", "cpu")
    assert ended.code == 0
    note = f"{other}: calls label 2 spleen; the model was trained on it as class2"
    assert note in " ".join((ended.out + ended.err).split())


def test_evaluating_what_memory_does_not_hold(
    voxtune: Voxtune, model: Path, small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("trainables.predictor.probabilities", fail)
    (tmp_path / "cases.txt").write_text("case_001")
    image = small_dataset / "imagesTr" / "case_001.nii.gz"
    assert voxtune("evaluate", model, small_dataset, "--cases", "cases.txt", "--device", "cpu") == Ended(
        code=1, out="", err=f"error: {image}: does not fit into memory\n"
    )
    assert not (tmp_path / "scores.csv").exists()


def test_a_full_disk_is_told(
    voxtune: Voxtune, model: Path, small_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pandas.DataFrame.to_csv", fail)
    assert voxtune("evaluate", model, small_dataset, "--device", "cpu") == Ended(
        code=1, out="", err="error: scores.csv: No space left on device\n"
    )


def test_evaluating_on_a_device_that_is_not_there(
    voxtune: Voxtune, model: Path, small_dataset: Path, tmp_path: Path
) -> None:
    refused = Ended(code=2, out="", err="error: device: must be cpu, cuda or one GPU such as cuda:1, got 'gpu'\n")
    assert voxtune("evaluate", model, small_dataset, "--device", "gpu") == refused
    assert not (tmp_path / "scores.csv").exists()


def test_phantom_tells_its_progress(voxtune: Voxtune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, int, int]] = []
    monkeypatch.setattr(View, "progress", lambda self, *stage: shown.append(stage))
    ended = voxtune("phantom", "out/heart", "--cases", 2, "--size", 0.25)
    assert ended == Ended(code=0, out="Wrote 2 cases to out/heart. Next: voxtune new out/heart\n", err="")
    assert shown == [("Writing cases", 1, 2), ("Writing cases", 2, 2)]


def test_new_hands_its_split_to_the_draft(voxtune: Voxtune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}

    def draft(dataset: Path, **options: object) -> str:
        given.update(options)
        return "drafted"

    monkeypatch.setattr("tuner.draft.draft_sweep", draft)
    write_dataset(tmp_path / "Blobs")
    split = ("--folds", 4, "--fold", 3, "--groups-file", "pairs.csv", "--split-seed", 5, "--test-fraction", 0.25)
    assert voxtune("new", "Blobs", *split) == Ended(
        code=0, out="Wrote sweep.yaml. Look it over, then: voxtune run sweep.yaml\n", err=""
    )
    assert (tmp_path / "sweep.yaml").read_text() == "drafted"
    expected = {"folds": 4, "fold": 3, "groups_file": Path("pairs.csv"), "split_seed": 5, "test_fraction": 0.25}
    assert given.items() >= {**expected, "held_out": None, "group": None}.items()
    voxtune("new", "Blobs", "--held-out", 0.3, "--group", "number // 2", "-o", "other.yaml")
    assert given.items() >= {"held_out": 0.3, "group": "number // 2", "folds": None}.items()


def test_new_complains_of_the_data_set_before_the_output(voxtune: Voxtune, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text("mine")
    ended = voxtune("new", "nowhere")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: nowhere")
    write_dataset(tmp_path / "Blobs")
    assert voxtune("new", "Blobs") == Ended(
        code=2, out="", err="error: sweep.yaml exists already: nothing was written; choose another --output\n"
    )
    assert (tmp_path / "sweep.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--folds", 5, "--held-out", 0.2), ["voxtune new", "give either folds or held_out", "folds 5"]),
        (("--folds", 3, "--fold", 3), ["voxtune new", "must be below folds", "fold 3 of 3"]),
        (("--folds", 7), ["folds", "7", "6"]),
        (("--groups-file", "none.csv"), ["none.csv"]),
        (("--split-seed", -1), ["voxtune new: split_seed", "-1"]),
        (("--group", "number", "--groups-file", "none.csv"), ["give either group or groups_file"]),
    ],
)
def test_new_with_a_split_that_can_not_be(
    voxtune: Voxtune, tmp_path: Path, options: tuple[object, ...], words: list[str]
) -> None:
    write_dataset(tmp_path / "Blobs")
    ended = voxtune("new", "Blobs", *options)
    assert (ended.code, ended.out) == (2, "")
    for word in ("error: ", *words):
        assert word in ended.err
    assert not (tmp_path / "sweep.yaml").exists()
