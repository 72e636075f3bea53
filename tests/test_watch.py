"""`voxtune watch`: a sweep that another process runs, from its study alone, until it ends and as it ends."""

import io
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import Thread

import pytest
from command_line import Ended, run_voxtune
from make_sweep import evaluation, open_study, play, sweep_directory
from rich.console import Console
from terminal import terminal

from tuner import view as view_module
from tuner import watch as watch_module
from tuner.directory import SweepDirectory
from tuner.files import write_text
from tuner.followed import Followed
from tuner.owner import own
from tuner.process import Process
from tuner.storage import open_storage
from tuner.study import SweepStudy
from tuner.view import View
from tuner.watch import watch

DRIVER = """
import sys, time
from pathlib import Path
import optuna
from advancing import advance
from make_sweep import open_study
from tuner.owner import own
from tuner.storage import open_storage

folder, trials, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
with own(folder):
    print("owned", flush=True)
    advance(open_study(open_storage(None, folder / "study.journal", owner=True)), trials, seconds=seconds)
"""


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(view_module, "REFRESH_SECONDS", 0.05)


@pytest.fixture
def directory(tmp_path: Path) -> SweepDirectory:
    return sweep_directory(tmp_path / "runs" / "heart", trials=4)


Voxtune = Callable[..., Ended]


@pytest.fixture
def voxtune(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Voxtune:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: run_voxtune(*arguments, monkeypatch=monkeypatch, capsys=capsys)


def study_of(directory: SweepDirectory, name: str = "sweep") -> SweepStudy:
    return open_study(open_storage(None, directory.journal, owner=True), name=name)


def left_by_a_dead_driver(directory: SweepDirectory) -> None:
    """An owner file of a process that is gone: the kernel gives no number as high."""
    owner = {**asdict(Process.current()), "pid": 2**22 + 1, "command": "voxtune run", "since": "2026-03-01T12:00:00"}
    (directory.root / "owner.json").write_text(json.dumps(owner))


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[None]:
    thread = Thread(target=work)
    thread.start()
    yield
    thread.join()


def test_a_sweep_is_shown_from_before_its_first_trial_to_the_end_of_its_folds(
    directory: SweepDirectory,
) -> None:
    def drive() -> None:
        with own(directory.root):
            begun.set_result(None)
            until_shown("no trial was begun yet")
            search = study_of(directory)
            search.plan(4)
            search.report(search.ask().number, 333, evaluation(0.5, 333))
            until_shown("heart: 1 running")
            search.finish(0, "stopped at rung")
            play(search, 4)
            until_shown("0 running, 4 ended, 0 to go")
            confirm = study_of(directory, "confirm")
            confirm.plan(2)
            for score in (0.8, 0.9):
                number = confirm.ask().number
                until_shown("confirm: 1 running")
                confirm.report(number, 1000, evaluation(score, 1000), {})
                confirm.finish(number, "full budget")
            folds = study_of(directory, "folds")
            folds.plan(1)
            folds.report(folds.ask().number, 333, evaluation(0.7, 333))
            until_shown("folds: 1 running")
            folds.report(0, 1000, evaluation(0.8, 1000))
            folds.finish(0, "full budget")

    def until_shown(text: str) -> None:
        deadline = time.monotonic() + 30
        while text not in console.file.getvalue():
            assert time.monotonic() < deadline, f"not shown: {text}"
            time.sleep(0.02)

    begun: Future[None] = Future()
    console = Console(file=io.StringIO(), width=200)
    with beside(drive):
        begun.result(10)
        assert watch("heart", runs=directory.root.parent, view=View(console)) == "finished"
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "heart: no trial was begun yet"
    assert lines[1] == "heart: 1 running, 0 ended, 3 to go"
    assert any(re.match(r"heart.*: .*trial 3 .*; 0 running, 4 ended, 0 to go", line) for line in lines)
    assert any(line.startswith("confirm: 1 running, ") for line in lines)
    ended = "trial 1 full budget, 100% of budget, Dice 0.9000; best Dice 0.9000 (trial 1); 0 running, 2 ended"
    assert any(ended in line for line in lines)
    assert lines[-1].startswith("folds")
    assert "trial 0 full budget, 100% of budget, Dice 0.8000" in lines[-1]


def test_a_last_stage_that_is_over_before_it_is_looked_at_is_no_death(directory: SweepDirectory) -> None:
    class Slow(View):
        @contextmanager
        def showing(self, followed: Followed) -> Iterator[None]:
            yield
            if not shown.done():  # the search has been shown to its end, since a fold is trained
                shown.set_result(None)
                over.result(10)

    def drive() -> None:
        with own(directory.root):
            play(study_of(directory), 4)
            folds = study_of(directory, "folds")
            folds.plan(1)
            folds.report(folds.ask().number, 333, evaluation(0.7, 333))
            begun.set_result(None)
            shown.result(10)
            folds.finish(0, "full budget")
            over.set_result(None)
            time.sleep(0.3)  # its report is written

    begun, shown, over = Future[None](), Future[None](), Future[None]()
    with beside(drive):
        begun.result(10)
        assert watch(directory, view=Slow(quiet=True)) == "finished"


def test_one_that_has_ended_is_shown_once_with_its_outcome(directory: SweepDirectory, voxtune: Voxtune) -> None:
    study = study_of(directory)
    play(study, 4)
    write_text(directory.report_page, "")
    before = {path: path.read_bytes() for path in directory.root.rglob("*") if path.is_file()}
    ended = voxtune("watch", "heart")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == "heart: 0 running, 4 ended, 0 to go"
    assert lines[1].strip() == "Leaderboard"
    assert lines[3].split()[:3] == ["*", str(study.ranking()[0].number), f"{study.ranking()[0].value:.4f}"]
    assert lines[-1] == f"Report: {directory.report_page}"
    assert {path: path.read_bytes() for path in directory.root.rglob("*") if path.is_file()} == before


def test_a_search_that_a_limit_ended_is_finished(directory: SweepDirectory) -> None:
    study = study_of(directory)
    play(study, 2)
    study.plan(4)
    study.say_over("10 minutes are over")
    assert watch(directory, view=View(quiet=True)) == "finished"


def test_a_grid_of_which_one_point_does_not_fit_is_finished_without_it(tmp_path: Path) -> None:
    space = {"batch_size": {"choice": [2, 4, 8]}}
    changes = {"search": {"sampler": "grid", "trials": 16}, "space": space, "default": {"batch_size": 2}}
    directory = sweep_directory(tmp_path / "grid", changes=changes)
    study = study_of(directory)
    study.plan(3)
    study.finish(study.ask().number, "turned away")
    play(study, 3)
    lines = io.StringIO()
    assert watch(directory, view=View(Console(file=lines, width=200))) == "finished"
    assert lines.getvalue() == "grid: 0 running, 2 ended, 0 to go; 1 turned away: too large for memory\n"


def test_one_that_was_stopped_ends_as_its_run_did(directory: SweepDirectory, voxtune: Voxtune) -> None:
    study = study_of(directory)
    study.plan(4)
    study.ask()
    study.release([0])
    go_on = f"It was stopped; go on by: voxtune resume {directory.root}"
    assert voxtune("watch", "heart") == Ended(
        code=130, out=f"heart: 0 running, 1 interrupted, 0 ended, 3 to go\n{go_on}\n", err=""
    )


def test_one_that_was_stopped_while_it_confirmed_is_not_finished(directory: SweepDirectory) -> None:
    play(study_of(directory), 4)
    confirm = study_of(directory, "confirm")
    confirm.plan(2)
    confirm.ask()
    confirm.release([0])
    assert watch(directory, view=View(quiet=True)) == "interrupted"


def test_one_whose_driver_died_has_failed(directory: SweepDirectory, voxtune: Voxtune) -> None:
    study = study_of(directory)
    study.plan(4)
    study.ask()
    left_by_a_dead_driver(directory)
    ended = voxtune("watch", "heart")
    assert ended.code == 1
    assert ended.out == "heart: 0 running, 1 interrupted, 0 ended, 3 to go\n"
    assert ended.err == f"error: the sweep's driver died; go on by: voxtune resume {directory.root}\n"


def test_one_without_any_result_has_failed(directory: SweepDirectory, voxtune: Voxtune) -> None:
    study = study_of(directory)
    for _ in range(4):
        study.finish(study.ask().number, "error", error="a bug")
    ended = voxtune("watch", "heart")
    assert (ended.code, ended.err) == (1, f"error: no trial gave a result; see {directory.root}\n")


def test_there_is_no_such_sweep_or_it_never_began(directory: SweepDirectory, voxtune: Voxtune) -> None:
    ended = voxtune("watch", "hart")
    assert ended.code == 2
    assert (
        ended.err
        == "error: no sweep at hart or runs/hart: a sweep's directory holds a sweep.yaml; did you mean heart?\n"
    )
    ended = voxtune("watch", "heart")
    assert ended.code == 2
    assert ended.err == "error: sweep heart: no trial was begun yet, and no driver works on it any more\n"
    assert not directory.journal.exists()


@pytest.mark.slow
@pytest.mark.service
def test_in_a_terminal_it_is_the_table_and_ctrl_c_ends_the_watching_alone(
    directory: SweepDirectory, tmp_path: Path
) -> None:
    tests = Path(__file__).parent
    command = [sys.executable, "-c", DRIVER, str(directory.root), "4", "12"]
    with subprocess.Popen(command, cwd=tests, stdout=subprocess.PIPE, text=True) as driver:
        try:
            assert driver.stdout is not None
            assert driver.stdout.readline() == "owned\n"
            watching = [sys.executable, "-m", "tuner.cli", "watch", "heart"]
            with terminal(watching, columns=120, rows=30, folder=tmp_path) as window:
                window.until(lambda: any(line.startswith("best Dice") for line in window.lines()), 30)
                window.type("C-c")
                assert window.wait(10) == 130
                assert window.lines()[-1] == "The sweep heart goes on unwatched"
                assert "Traceback" not in "\n".join(window.lines(history=True))
            assert driver.poll() is None
            with terminal(watching, columns=120, rows=30, folder=tmp_path) as window:
                assert window.wait(40) == 0
                lines = window.lines(history=True)
            assert lines[0] == "heart: 0 running, 4 ended, 0 to go"
            assert len([line for line in lines if "full budget" in line or "stopped at rung" in line]) == 4
            assert "Leaderboard" in lines
            assert driver.wait(10) == 0
        finally:
            driver.send_signal(signal.SIGKILL)
