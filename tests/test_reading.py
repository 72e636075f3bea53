"""Commands that show a sweep read its study alone: without Ray or torch, while others write, and changing nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
from make_sweep import evaluation, open_study, play, sweep_directory

from tuner.directory import SweepDirectory
from tuner.reading import StudyReader
from tuner.storage import open_storage
from tuner.trial_record import TrialRecord


@pytest.fixture
def directory(tmp_path: Path) -> SweepDirectory:
    return sweep_directory(tmp_path / "runs" / "heart", trials=6)


def test_a_study_is_read_from_before_there_is_any_to_its_last_trial(directory: SweepDirectory) -> None:
    reader = StudyReader(directory)
    assert reader.study("sweep") is None
    assert not directory.journal.exists()
    written = open_study(open_storage(None, directory.journal, owner=True))
    for trials in (2, 4):
        play(written, trials)
        read = reader.study("sweep")
        assert read is not None
        assert read.trials() == written.trials()
        assert read.space == written.space
    assert reader.study("confirm") is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "first"),
    [
        (("status", "heart"), "heart: 0 running, 1 interrupted, 5 ended, 0 to go"),
        (("watch", "heart"), "heart: 0 running, 1 interrupted, 5 ended, 0 to go"),
        (("logs", "heart", "--trial", "5", "--follow"), "one"),
    ],
)
def test_a_command_needs_neither_ray_nor_torch_and_changes_nothing(
    directory: SweepDirectory, command: tuple[str, ...], first: str
) -> None:
    study = open_study(open_storage(None, directory.journal, owner=True))
    play(study, 5)
    number = study.ask().number
    study.report(number, 111, evaluation(0.5, 111))
    TrialRecord(directory, "sweep").reported(number, 111, evaluation(0.5, 111), "one\n")
    before = {path: path.read_bytes() for path in directory.root.rglob("*") if path.is_file()}
    script = (
        "import sys; from tuner.cli import app\n"
        "try: app(sys.argv[1:], standalone_mode=False)\n"
        "finally: print(*{'ray', 'torch'} & set(sys.modules), file=sys.stderr)"
    )
    run = [sys.executable, "-W", "ignore", "-c", script, *command, "--runs", str(directory.root.parent)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[:1] == [first], done.stderr
    assert done.stderr.splitlines()[0] == ""
    assert {path: path.read_bytes() for path in directory.root.rglob("*") if path.is_file()} == before
