"""`voxtune train --folds` on a real Ray: tiny networks on made-up data, interrupted, resumed and gathered."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from command_line import Ended, run_voxtune
from make_data import write_dataset
from optuna.trial import FrozenTrial, TrialState
from test_fold_request import searched

from trainables.layouts import read_dataset
from trainables.model_file import load_models
from trainables.scoring import evaluate_dataset
from tuner.cross_validation import place_of
from tuner.directory import SweepDirectory
from tuner.storage import open_storage

pytestmark = [pytest.mark.ray, pytest.mark.slow]

FOLDS = 3
GROUP = "(int(number) + 1) // 2"


@pytest.fixture
def voxtune(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    return lambda *arguments: run_voxtune(*arguments, monkeypatch=monkeypatch, capsys=capsys)


def trained(directory: SweepDirectory) -> list[FrozenTrial]:
    return optuna.load_study(study_name="folds", storage=open_storage(None, directory.journal)).get_trials()


def by_place(directory: SweepDirectory) -> dict[tuple[int, int], FrozenTrial]:
    """The trials by configuration and fold, each of which has one."""
    trials = trained(directory)
    placed = {place_of(trial): trial for trial in trials}
    assert len(placed) == len(trials)
    return placed


def test_the_best_two_on_every_fold(tmp_path: Path, running_ray: str, voxtune: Callable[..., Ended]) -> None:
    data = write_dataset(tmp_path / "Blobs", cases=8)
    dataset = {"path": str(data), "folds": FOLDS, "group": GROUP, "test_fraction": 0.25}
    directory = searched(tmp_path, data, [0.5, 0.8, 0.7], dataset=dataset)
    command = ("train", directory.root, "--folds", "all", "--top", "2", "--address", running_ray)

    ended = interrupted_after_one(voxtune, directory, *command)
    assert ended.code == 130, ended
    assert "go on by the same command" in ended.out
    before = {place: trial for place, trial in by_place(directory).items() if trial.state == TrialState.COMPLETE}
    assert 0 < len(before) < 2 * FOLDS

    ended = voxtune(*command, "--ensemble")
    assert ended.code == 0, ended
    trials = by_place(directory)
    assert trials.keys() == {(number, fold) for number in (1, 2) for fold in range(FOLDS)}
    for place, trial in before.items():  # finished trainings are kept, not repeated
        assert trials[place] == trial

    scores = pd.read_csv(directory.folds / "cross_validation.csv")
    figures = json.loads((directory.folds / "cross_validation.json").read_text())
    for number in (1, 2):
        own = scores[scores["configuration"] == number]
        assert own["case"].nunique() == 6
        fold_of = own.groupby("case")["fold"].unique()
        assert all(len(folds) == 1 for folds in fold_of)
        pairs = own["case"].str[-3:].astype(int).add(1).floordiv(2)
        assert (own.groupby(pairs)["fold"].nunique() == 1).all()  # a group is on one side
        found = next(one for one in figures["configurations"] if one["number"] == number)
        assert found["mean"] == pytest.approx(own["dice"].mean())
    test_cases = {f"case_{number:03d}" for number in range(1, 9)} - set(scores["case"])
    assert len(test_cases) == 2

    best = figures["best"]
    models = load_models(directory.folds / "ensemble")
    assert len(models) == FOLDS
    rows = evaluate_dataset(models, read_dataset(data), sorted(test_cases), device="cpu")
    mean = np.mean([row.dice for row in rows])
    assert figures["ensemble"]["configuration"] == best
    assert figures["ensemble"]["test"]["ensemble"]["mean"] == pytest.approx(mean, abs=1e-6)
    assert set(figures["ensemble"]["test"]) == {"ensemble", "fold 0", "fold 1", "fold 2"}
    left = {path.parts[-3] for path in directory.checkpoints.glob("folds_*/*/model.pt")}
    assert left == {f"folds_{trials[best, fold].number:04d}" for fold in range(FOLDS)}  # losers' models go
    page = (directory.folds / "cross_validation.md").read_text()
    assert page.splitlines()[2].startswith(f"**Trial {best} is best: cross-validated Dice {found_of(figures, best)}** ")

    written = directory.folds / "cross_validation.md"
    written.unlink()
    arguments = [argument for argument in command if argument not in ("--address", running_ray)]
    ended = voxtune(*arguments)  # nothing is left to do, so Ray is not started
    assert ended.code == 0
    assert "Ray dashboard" not in ended.out
    assert "## Ensemble" in written.read_text()


def found_of(figures: dict, number: int) -> str:
    return f"{next(one for one in figures['configurations'] if one['number'] == number)['mean']:.4f}"


def interrupted_after_one(voxtune: Callable[..., Ended], directory: SweepDirectory, *command: object) -> Ended:
    """Run a command, and press Ctrl-C once a training has ended."""

    def press() -> None:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and not over.wait(0.1):
            begun = any(directory.checkpoints.glob("folds_*/*/model.pt"))
            if begun and any(trial.state.is_finished() for trial in trained(directory)):
                os.kill(os.getpid(), signal.SIGINT)
                return

    over = threading.Event()
    thread = threading.Thread(target=press)
    thread.start()
    try:
        return voxtune(*command)
    finally:
        over.set()
        thread.join()
