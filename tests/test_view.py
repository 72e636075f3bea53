"""What is shown while a sweep runs, and at its end."""

import io

import pytest
from make_sweep import evaluation, open_study, play
from rich.console import Console

from tuner.leaderboard import leaderboard
from tuner.results import Results
from tuner.study import SweepStudy
from tuner.view import View, best_score, clock, trial_table


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


@pytest.mark.parametrize("width", [80, 120, 200])
def test_one_line_a_trial_with_budget_and_dice_whole_at_any_width(study, width):
    lines = shown(trial_table(study), width)
    assert len(lines) == 1 + 14
    assert all(len(line) <= width for line in lines)
    assert lines[0].split()[:4] == ["trial", "state", "budget", "Dice"]
    assert lines[1].split()[:4] == ["12", "running", "33%", "0.5000"]
    assert lines[2].split()[:2] == ["13", "running"]
    best = study.ranking()[0]
    assert lines[3].split()[:5] == [str(best.number), "full", "budget", "100%", f"{best.value:.4f}"]


def test_many_trials_are_cut_to_the_running_and_the_best(study):
    lines = shown(trial_table(study, rows=5), 120)
    assert len(lines) == 1 + 5 + 1
    assert lines[-1].strip() == "and 9 more"


def test_best_score_is_of_the_highest_step_reached():
    study = open_study()
    assert best_score(study) is None
    first, second = study.ask().number, study.ask().number
    study.report(first, 111, evaluation(0.9, 111), {})
    study.report(second, 333, evaluation(0.5, 333), {})
    assert best_score(study) == (second, 0.5)


def test_lines_tell_what_happened_once():
    output = io.StringIO()
    study = open_study()
    with View(Console(file=output)).watching(study, trials=2, title="heart"):
        number = study.ask().number
        study.report(number, 1000, evaluation(0.8, 1000), {})
        study.finish(number, "full budget")
    assert output.getvalue() == "heart: trial 0 full budget 100% of budget, Dice 0.8000\n"


def test_live_table_says_how_far_the_sweep_is():
    output = io.StringIO()
    study = open_study()
    play(study, 3)
    with View(Console(file=output, force_terminal=True, width=120)).watching(study, trials=5, title="heart"):
        play(study, 4)
    assert "heart: 4 of 5 trials ended" in output.getvalue()
    assert "left" in output.getvalue()


def test_quiet_view_writes_nothing(capsys):
    view = View(quiet=True)
    study = open_study()
    with view.preparing():
        view.progress("Preprocessing", 1, 2)
    with view.watching(study, trials=1, title="heart"):
        play(study, 1)
    view.note("news")
    assert capsys.readouterr().out == ""


def test_leaderboard_begins_with_the_chosen_trial(study):
    results = Results.from_studies(study.optuna)
    lines = shown(leaderboard(results), 80)
    assert lines[0].strip() == "Leaderboard"
    assert lines[2].split()[:3] == ["*", str(results.best.number), f"{results.best.run.score:.4f}"]
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize(("seconds", "text"), [(7, "0:07"), (187, "3:07"), (7500, "2 h 05")])
def test_clock(seconds, text):
    assert clock(seconds) == text
