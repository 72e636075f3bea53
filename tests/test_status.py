"""`voxtune status`: what it tells of a sweep that runs, died, was stopped or ended, from the study alone."""

import io
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import optuna
import pytest
from make_sweep import evaluation, open_study, play, sweep_directory
from optuna.trial import create_trial
from rich.console import Console

from tuner import watch
from tuner.directory import SweepDirectory
from tuner.drivers import registered
from tuner.errors import StudyError
from tuner.followed import Followed
from tuner.owner import own
from tuner.process import Process
from tuner.reading import StudyReader
from tuner.status import SweepStatus, curve, read_status, status_lines, unfinished_trials
from tuner.storage import open_storage
from tuner.study import SweepStudy


@pytest.fixture
def directory(tmp_path: Path) -> SweepDirectory:
    return sweep_directory(tmp_path / "runs" / "heart", trials=16)


@pytest.fixture
def study(directory: SweepDirectory) -> SweepStudy:
    """Five ended trials, one turned away, one that runs and has reported twice, nine planned."""
    study = open_study(open_storage(None, directory.journal, owner=True))
    play(study, 5)
    study.finish(study.ask().number, "turned away")
    study.plan(16)
    number = study.ask().number
    study.report(number, 111, evaluation(0.3, 111), {})
    study.report(number, 333, evaluation(0.625, 333), {})
    return study


def rows(status: SweepStatus) -> list[list[str]]:
    console = Console(width=160, file=io.StringIO(), color_system=None)
    console.print(unfinished_trials(status))
    assert isinstance(console.file, io.StringIO)
    return [line.split() for line in console.file.getvalue().splitlines()]


def left_by_a_dead_driver(directory: SweepDirectory) -> None:
    """An owner file of a process that is gone: the kernel gives no number as high."""
    owner = {
        **asdict(Process.current()),
        "pid": 2**22 + 1,
        "command": "voxtune run",
        "since": "2026-03-01T12:00:00+00:00",
    }
    (directory.root / "owner.json").write_text(json.dumps(owner))


def test_a_sweep_that_runs(directory: SweepDirectory, study: SweepStudy) -> None:
    best = study.ranking()[0]
    with own(directory.root):
        status = read_status(directory)
    lines = status_lines(status)
    assert lines[0] == "heart: 1 running, 5 ended, 10 to go; 1 turned away: too large for memory"
    assert lines[1] == f"Best so far: Dice {best.value:.4f}, trial {best.number} at 100% of budget"
    assert lines[2].startswith("Begun ")
    assert " left, until " in lines[2]
    assert lines[3].startswith(f"Driver: process {Process.current().pid} on ")
    assert len(lines) == 4
    assert rows(status)[0][:5] == ["trial", "state", "Dice", "by", "budget"]
    assert rows(status)[1][:7] == ["6", "running", "11%", "0.3000", "→", "33%", "0.6250"]


def test_trials_of_a_driver_that_died_are_interrupted(directory: SweepDirectory, study: SweepStudy) -> None:
    left_by_a_dead_driver(directory)
    status = read_status(directory)
    lines = status_lines(status)
    assert lines[0].startswith("heart: 0 running, 1 interrupted, 5 ended, 10 to go")
    assert " left" not in lines[2]
    assert lines[3].startswith(f"No driver works on it: the last one died (process {2**22 + 1} on ")
    assert lines[4] == f"Go on by: voxtune resume {directory.root}"
    assert rows(status)[1][:2] == ["6", "interrupted"]


def test_a_sweep_that_was_stopped(directory: SweepDirectory, study: SweepStudy) -> None:
    study.release([6])
    status = read_status(directory)
    assert status_lines(status)[3:] == ["No driver works on it", f"Go on by: voxtune resume {directory.root}"]
    assert rows(status)[1][:4] == ["6", "interrupted", "11%", "0.3000"]


def test_what_the_confirm_stage_called_best_is_best(tmp_path: Path) -> None:
    directory = sweep_directory(tmp_path / "heart", trials=2)
    storage = open_storage(None, directory.journal, owner=True)
    search = open_study(storage)
    play(search, 2)
    confirm = open_study(storage, name="confirm")
    for seed, score in ((1, 0.6), (2, 0.7)):
        confirm.enqueue(search.trials()[0].params, seed=seed, of=0)
        number = confirm.ask().number
        confirm.report(number, 1000, evaluation(score, 1000), {})
        confirm.finish(number, "full budget")
    directory.report_page.parent.mkdir()
    directory.report_page.touch()
    lines = status_lines(read_status(directory))
    assert "Best: trial 0, Dice 0.6500 as the mean of 2 trainings with other seeds" in lines
    assert lines[-1] == f"Report: {directory.report_page}"


def test_a_search_that_a_limit_ended(directory: SweepDirectory, study: SweepStudy) -> None:
    study.release([6])
    study.say_over("5 minutes are over (search.minutes)")
    assert status_lines(read_status(directory))[3:] == [
        "No driver works on it",
        "The search ended: 5 minutes are over (search.minutes)",
        f"For longer: voxtune resume {directory.root} --minutes N, in all",
    ]
    study.say_over("2 device-hours are used (search.device_hours)")
    assert status_lines(read_status(directory))[4:] == [
        "The search ended: 2 device-hours are used (search.device_hours)"
    ]


def test_a_sweep_that_ended_but_for_its_confirm_stage(tmp_path: Path) -> None:
    directory = sweep_directory(tmp_path / "heart", trials=4)
    storage = open_storage(None, directory.journal, owner=True)
    play(open_study(storage), 4)
    confirm = open_study(storage, name="confirm")
    for seed in (1, 2, 3):
        confirm.enqueue({}, seed=seed, of=0)
    confirm.report(confirm.ask().number, 1000, evaluation(0.8, 1000), {})
    confirm.finish(0, "full budget")
    status = read_status(directory, now=datetime.now() + timedelta(minutes=61))
    lines = status_lines(status)
    assert lines[0] == "heart: 0 running, 4 ended, 0 to go"
    assert lines[1] == "confirm: 0 running, 1 ended, 2 to go"
    assert "1 h 1 min ago; a trial last ended 1 h 1 min ago" in lines[3]
    assert lines[4:] == ["No driver works on it", f"Go on by: voxtune resume {directory.root}"]


def test_folds_that_were_interrupted(tmp_path: Path) -> None:
    directory = sweep_directory(tmp_path / "heart", trials=4)
    storage = open_storage(None, directory.journal, owner=True)
    play(open_study(storage), 4)
    folds = open_study(storage, name="folds")
    folds.plan(5)
    folds.report(folds.ask().number, 1000, evaluation(0.8, 1000), {})
    folds.finish(0, "full budget")
    folds.ask()
    lines = status_lines(read_status(directory, now=datetime.now() + timedelta(minutes=61)))
    assert lines[1] == "folds: 0 running, 1 interrupted, 1 ended, 3 to go"
    assert lines[4:] == ["No driver works on it", "Go on by the same `voxtune train --folds` as before"]


def test_in_a_database_of_several_drivers_those_of_other_directories_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.status.takes_several_drivers", lambda url: True)  # SQLite stands for a server
    url = f"sqlite:///{tmp_path}/studies.db"
    directory = sweep_directory(tmp_path / "heart", trials=4, changes={"storage": url})
    study = open_study(open_storage(url, directory.journal, owner=True), name="heart/sweep")
    study.plan(4)
    study.ask()
    with registered(study.optuna, "one"), registered(study.optuna, "another"):
        status = read_status(directory)
        assert status_lines(status)[0] == "heart: 1 running, 0 ended, 3 to go"
        assert status_lines(status)[-1] == (
            "No driver works on it in this directory; 2 drivers of other directories do"
        )
        with own(directory.root):
            assert status_lines(read_status(directory))[-1].startswith("Driver: process ")
    lines = status_lines(read_status(directory))
    assert lines[0] == "heart: 0 running, 1 interrupted, 0 ended, 3 to go"
    assert lines[-2:] == ["No driver works on it", f"Go on by: voxtune resume {directory.root}"]


def test_a_sweep_that_was_not_begun(directory: SweepDirectory) -> None:
    with pytest.raises(StudyError, match=r"sweep heart: no trial was begun yet$"):
        read_status(directory)
    with own(directory.root), pytest.raises(StudyError, match=r"begun yet; process \d+ .*, prepares the data"):
        read_status(directory)
    assert not directory.journal.exists()


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Has this process live in another time zone, by POSIX's names: the sign is that of UTC less local time."""

    def live_in(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield live_in
    monkeypatch.undo()
    time.tzset()


def test_times_are_told_by_the_reader_s_clock_wherever_the_driver_is(
    tmp_path: Path, zone: Callable[[str], None]
) -> None:
    """Japan is 14 hours ahead of New York: by their clocks alone the sweep would begin tomorrow."""
    zone("JST-9")
    directory = sweep_directory(tmp_path / "heart", trials=5)
    study = open_study(open_storage(None, directory.journal, owner=True))
    study.plan(5)
    for _ in range(4):
        number = study.ask().number
        study.report(number, 1000, evaluation(0.5, 1000))
        study.finish(number, "full budget")
    study.ask()
    zone("EST5")
    with own(directory.root):
        times = status_lines(read_status(directory))[2]
    now = datetime.now(UTC)
    told = re.fullmatch(
        r"Begun (.{16} -0500), \d+ s ago; a trial last ended \d+ s ago; about .* left, until (..:..) -0500", times
    )
    assert told, times
    begun = datetime.strptime(told[1], "%Y-%m-%d %H:%M %z")
    assert timedelta(0) <= now - begun < timedelta(minutes=3)
    read = StudyReader(directory).study("sweep")
    assert read is not None
    followed = Followed(read, title="heart", elapsed=watch._elapsed(read, driven=True))
    assert re.fullmatch(r"\d+ s", followed.elapsed())
    assert followed.left(followed.standing()) == "about 2 minutes left"  # the made-up trials take 104 s


def test_of_a_long_curve_the_end_is_shown() -> None:
    values = {100: 0.1, 200: 0.2, 300: 0.3, 400: 0.4, 500: 0.5, 1000: 0.6}
    trial = create_trial(state=optuna.trial.TrialState.PRUNED, intermediate_values=values)
    assert curve(trial) == "… → 30% 0.3000 → 40% 0.4000 → 50% 0.5000 → 100% 0.6000"
