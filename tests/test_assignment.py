"""The training run that an assignment makes, and what a damaged state of it does."""

import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.archive import write_archive
from trainables.protocol import Budget
from trainables.toy import ToyRun
from tuner.assignment import Assignment, build_run
from tuner.trial_files import LocalFiles

STATE = "sweep_0000/attempt_1/state_0333.pt"


def assignment(root: Path) -> Assignment:
    return Assignment(
        sweep="toy",
        number=0,
        trainable="trainables.toy:ToyRun",
        parameters={"learning_rate": 1e-3},
        data={},
        budget=Budget(unit="steps", maximum=900),
        seed=0,
        resources={"cpu": 1},
        workers=1,
        device="cpu",
        steps=(111, 333, 1000),
        steps_done=(111, 333),
        attempt=2,
        files=LocalFiles(root),
        folder="sweep_0000/attempt_2",
        state=STATE,
    )


@pytest.fixture
def given(tmp_path: Path) -> Assignment:
    """For a trial that has trained 300 of 900 steps."""
    state = {"used": 300.0, "training_seconds": 1.5}
    LocalFiles(tmp_path).put(STATE, lambda path: write_archive(state, path))
    return assignment(tmp_path)


def used(run: object) -> float:
    assert isinstance(run, ToyRun)
    return run.state_dict()["used"]


def test_it_goes_on_from_its_state(given: Assignment) -> None:
    assert used(build_run(given)) == 300


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_from_a_damaged_state_it_begins_again_and_says_so(
    given: Assignment, tmp_path: Path, share: float, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / STATE
    os.truncate(file, int(share * file.stat().st_size))
    run = build_run(given)
    assert used(run) == 0
    assert "state_0333.pt, is damaged (" in caplog.text
    assert "trained again from the beginning" in caplog.text
    assert run.advance(900).score == build_run(assignment(tmp_path)).advance(900).score


def test_a_state_that_would_grow_or_is_none_is_not_taken(
    given: Assignment, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / STATE
    with zipfile.ZipFile(file) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in entries.items():
            packed.writestr(name, content)
    assert used(build_run(given)) == 0
    assert "is damaged (has compressed entries" in caplog.text
    torch.save([300.0], file)
    assert used(build_run(given)) == 0
    assert "is damaged (holds a list)" in caplog.text


class Evil:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def test_what_is_no_state_is_not_run_as_code(given: Assignment, tmp_path: Path) -> None:
    torch.save({"used": 300.0, "training_seconds": Evil(tmp_path / "ran")}, tmp_path / STATE)
    assert used(build_run(given)) == 0
    assert not (tmp_path / "ran").exists()
