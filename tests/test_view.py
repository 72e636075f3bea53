"""What is shown while a sweep runs, and at its end."""

import io
import logging
import re
import time
from dataclasses import replace
from threading import Event

import pytest
from make_sweep import evaluation, open_study, play, stint_on
from optuna.trial import TrialState
from rich.console import Console
from terminal import Screen

from tuner import view as view_module
from tuner.board import Board
from tuner.followed import Followed
from tuner.leaderboard import leaderboard
from tuner.results import Results
from tuner.standing import Standing
from tuner.study import SweepStudy
from tuner.view import View


@pytest.fixture
def study() -> SweepStudy:
    """Twelve ended trials, one that runs and has reported, one that runs and has not."""
    study = open_study()
    play(study, 12)
    study.report(study.ask().number, 333, evaluation(0.5, 333), {})
    study.ask()
    return study


def shown(renderable, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(renderable)
    return console.file.getvalue().splitlines()


def rows_of(study: SweepStudy, **options):
    return Board.of(Standing.of(study.trials()), study.space.searched, **options).table()


@pytest.mark.parametrize(("width", "headings"), [(80, 2), (120, 1), (200, 1)])
def test_one_line_a_trial_with_budget_and_dice_whole_at_any_width(study, width, headings):
    lines = shown(rows_of(study), width)
    assert len(lines) == headings + 14
    assert all(len(line) <= width for line in lines)
    assert lines[headings - 1].split()[:4] == ["trial", "state", "budget", "Dice"]
    best = study.ranking()[0]
    assert lines[headings].split()[:5] == [str(best.number), "full", "budget", "100%", f"{best.value:.4f}"]
    assert lines[-2].split()[:4] == ["12", "running", "33%", "0.5000"]
    assert lines[-1].split()[:2] == ["13", "running"]
    for trial, line in ((study.trials()[number], line) for number, line in ((12, lines[-2]), (13, lines[-1]))):
        assert line.split()[-4:] == [f"{trial.params['learning_rate']:.3g}"] + [
            str(trial.params[name]) for name in ("batch_size", "patch_size", "loss")
        ]


def test_many_trials_are_cut_to_the_best_and_the_unfinished(study):
    lines = shown(rows_of(study, rows=5), 120)
    assert len(lines) == 1 + 5 + 1
    first, second = study.ranking()
    third = max(study.trials(TrialState.PRUNED), key=lambda trial: sorted(trial.intermediate_values.items())[-1])
    assert [line.split()[0] for line in lines[1:4]] == [str(trial.number) for trial in (first, second, third)]
    assert [line.split()[:2] for line in lines[4:6]] == [["12", "running"], ["13", "running"]]
    assert lines[-1].strip() == "and 9 more ended"


def test_of_many_running_trials_the_furthest_are_shown_in_half_of_the_rows():
    study = open_study()
    play(study, 20)
    for step in (0, 111, 0, 333, 111, 0, 0):
        number = study.ask().number
        if step:
            study.report(number, step, evaluation(0.5, step), {})
    lines = shown(rows_of(study, rows=6), 120)
    assert [line.split()[0] for line in lines[4:-1]] == ["21", "23", "24"]
    assert lines[-1] == "and 17 more ended, 4 more running"


def test_interrupted_trials_stand_below_the_running_ones(study):
    study.release([12])
    lines = shown(rows_of(study), 120)
    assert lines[-2].split()[:2] == ["13", "running"]
    assert lines[-1].split()[:4] == ["12", "interrupted", "33%", "0.5000"]
    assert len(lines) == 1 + 14


def test_planned_trials_and_those_turned_away_are_no_rows(study):
    study.finish(study.ask().number, "turned away")
    study.plan(16)
    assert len(shown(rows_of(study), 120)) == 1 + 14


def shown_on(study: SweepStudy, *, trials: int | None, width: int | None = None):
    """A view's console, and the block in which it follows the study, which is to hold so many trials."""
    study.plan(trials)
    console = Console(file=Screen() if width else io.StringIO(), width=width or 80, color_system=None)
    return console, View(console).watching(study, title="heart")


def test_lines_tell_what_happened_once(monkeypatch):
    monkeypatch.setattr(view_module, "REFRESH_SECONDS", 1e6)  # only once, at the end
    study = open_study()
    console, watching = shown_on(study, trials=2)
    with watching:
        number = study.ask().number
        study.report(number, 333, evaluation(0.8, 333), {})
        study.finish(number, "stopped at rung")
        study.report(study.ask().number, 111, evaluation(0.3, 111), {})
    assert console.file.getvalue().splitlines() == [
        "heart 0 s: trial 0 stopped at rung, 33% of budget, Dice 0.8000; best Dice 0.8000 at 33% of budget (trial 0); "
        "1 running, 1 ended, 0 to go",
        "heart 0 s: trial 1 running, 11% of budget, Dice 0.3000; best Dice 0.8000 at 33% of budget (trial 0)",
    ]


def test_lines_name_the_parameters_of_a_trial_that_begins_and_count_those_turned_away():
    study = open_study()
    study.enqueue({"learning_rate": 1e-3, "batch_size": 2, "patch_size": 32, "loss": "dice"})
    console, watching = shown_on(study, trials=2)
    with watching:
        study.ask()
        for _ in range(3):
            study.finish(study.ask().number, "turned away")
    told = console.file.getvalue()
    assert "trial 0 running (learning_rate 0.001, batch_size 2, patch_size 32, loss dice)\n" in told
    assert "3 turned away: too large for memory\n" in told
    assert "trial 1" not in told


def test_lines_say_nothing_of_what_was_there_before(study):
    console, watching = shown_on(study, trials=16)
    with watching:
        pass
    assert console.file.getvalue() == ""


def test_colours_may_be_forced_on_a_pipe_but_nothing_is_drawn_over_there(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    study = open_study()
    console = Console(file=io.StringIO(), width=80)
    view = View(console)
    with view.preparing():
        view.progress("Preprocessing", 39, 40)
    with view.watching(study, title="heart"):
        study.finish(study.ask().number, "error", error="a bug")
    told = console.file.getvalue()
    assert re.fullmatch(r"heart \d s: trial 0 error: a bug; 0 running, 1 ended, 0 to go\n", told)
    console.print("a colour", style="red")
    assert "\x1b[31m" in console.file.getvalue()


def test_live_table_says_how_far_the_sweep_is():
    study = open_study()
    play(study, 3)
    console, watching = shown_on(study, trials=7, width=80)
    with watching:
        number = study.ask().number
        study.report(number, 333, evaluation(0.5, 333))
        study.finish(number, "stopped at rung")
        study.ask()
    lines = re.sub(r"\x1b\[[?\d]*[A-Za-z]", "", console.file.getvalue()).splitlines()
    assert any("heart: 1 running, 4 ended, 2 to go" in line for line in lines)
    best = Standing.of(study.trials()).best
    last = next(line for line in reversed(lines) if "elapsed" in line)
    assert last.split("   ")[:2] == [f"best Dice {best.score:.4f} (trial {best.number})", "elapsed 0 s"]
    assert last.rstrip().endswith(" left")


def test_elapsed_is_until_the_last_trial_ended_though_its_driver_still_writes_the_report(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr("tuner.followed.time.monotonic", lambda: clock[0])
    study = open_study()
    study.plan(2)
    followed = Followed(study, title="heart", elapsed=5)
    for seconds, elapsed in ((10, "15 s"), (20, "35 s")):
        number = study.ask().number
        clock[0] += seconds
        study.finish(number, "error", error="a bug")
        followed.standing()
        assert followed.elapsed() == elapsed
        clock[0] += 0 if elapsed == "15 s" else 60
    assert followed.elapsed() == "35 s"
    study.plan(3)
    followed.standing()
    assert followed.elapsed() == "1 min 35 s"  # it goes on


def test_live_table_says_how_busy_the_slots_are():
    """Two slots of 50 s each, with 30 s and 15 s of training and evaluation."""
    study = open_study()
    for pid, seconds in ((1, 30.0), (2, 15.0)):
        number = study.ask().number
        told = replace(evaluation(0.5, 1000), training_seconds=seconds - 5, evaluation_seconds=5.0)
        study.report(number, 1000, told, stint=stint_on(pid=pid, lasted=50.0))
        study.finish(number, "full budget")
    console, watching = shown_on(study, trials=2, width=120)
    with watching:
        pass
    assert "   slots 45% busy" in console.file.getvalue()


def test_a_storage_that_is_away_is_logged_once_and_the_search_goes_on(monkeypatch, caplog):
    monkeypatch.setattr(view_module, "REFRESH_SECONDS", 0.01)
    study = open_study()
    console, watching = shown_on(study, trials=2)
    trials, asked = study.trials, []

    def away(*states):
        asked.append(states)
        raise OSError("no route to host")

    with caplog.at_level(logging.INFO, logger="voxtune"), watching:
        monkeypatch.setattr(study, "trials", away)
        while len(asked) < 5:
            pass
        monkeypatch.setattr(study, "trials", trials)
        study.ask()
    told = [record.getMessage() for record in caplog.records if record.name == "voxtune"]
    assert told == ["heart: what is shown could not be brought up to date"]
    assert "no route to host" in caplog.text
    assert "trial 0 running" in console.file.getvalue()


def test_quiet_view_writes_nothing(capsys):
    view = View(quiet=True)
    study = open_study()
    with view.preparing():
        view.progress("Preprocessing", 1, 2)
    with view.watching(study, title="heart"):
        play(study, 1)
    view.note("news")
    assert capsys.readouterr().out == ""


def test_bars_in_a_terminal_name_the_stage_and_how_much_is_done():
    console = Console(file=Screen(), width=80, color_system=None)
    view = View(console)
    view.progress("Test cases", 1, 40)  # nothing is prepared: nothing to show
    with view.preparing():
        view.progress("Test cases", 39, 40)
        view.progress("Test cases", 40, 40)
    told = console.file.getvalue()
    assert "Test cases" in told
    assert "40/40" in told


def test_leaderboard_begins_with_the_chosen_trial(study):
    results = Results.from_studies(study.optuna)
    lines = shown(leaderboard(results), 80)
    assert lines[0].strip() == "Leaderboard"
    assert lines[2].split()[:3] == ["*", str(results.best.number), f"{results.best.run.score:.4f}"]
    assert all(len(line) <= 80 for line in lines)


def test_showing_a_search_takes_no_more_than_its_share_of_a_core():
    """An update that takes 10 ms of a processor is made every 2 s, however often it was asked for."""
    ended = Event()
    made = []

    def update():
        made.append(time.monotonic())
        began = time.thread_time()
        while time.thread_time() - began < 0.01:
            pass
        if len(made) == 2:
            ended.set()

    view_module._again_and_again(update, ended)
    assert 2.0 <= made[1] - made[0] < 4.0
