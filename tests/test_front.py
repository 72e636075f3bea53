"""A search for several objectives: its table, its picture, its leaderboard."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from make_sweep import DEFAULT, SPACE, evaluation, sweep_directory
from matplotlib.figure import Figure
from rich.console import Console

from search_spaces.space import parse_space
from tuner.config import Objective
from tuner.leaderboard import leaderboard
from tuner.plots_front import front_chart
from tuner.report import write_report
from tuner.results import Results
from tuner.storage import open_storage
from tuner.study import DEFAULT_ORIGIN, SweepStudy

TWO: tuple[Objective, ...] = ("dice", "training_seconds")
THREE: tuple[Objective, ...] = ("dice", "training_seconds", "peak_gib")

TRIALS = ((0.80, 100, 2.0), (0.82, 300, 4.0), (0.79, 200, 1.0), (0.70, 50, 3.0))
"""Dice, training seconds and peak GiB. By the first two all but trial 2 are on the front; by all three it is too."""


def fill(study: SweepStudy, trials: Sequence[tuple[float, float, float]] = TRIALS) -> Results:
    study.enqueue(DEFAULT, origin=DEFAULT_ORIGIN)
    for score, seconds, gib in trials:
        number = study.ask().number
        found = replace(evaluation(score, 1000), training_seconds=seconds)
        study.report(number, 1000, found, {"peak_gib": gib})
        study.finish(number, "full budget")
    return Results.from_studies(study.optuna)


def searched(objectives: Sequence[Objective]) -> Results:
    storage = optuna.storages.InMemoryStorage()
    return fill(SweepStudy.open(storage, "sweep", parse_space(SPACE), objectives=objectives))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_report_shows_the_front_and_says_that_best_is_by_dice(tmp_path: Path) -> None:
    changes = {"search": {"trials": 4, "stop_early": False, "objectives": list(TWO)}}
    directory = sweep_directory(tmp_path / "heart", changes=changes)
    storage = open_storage(None, directory.journal, owner=True)
    fill(SweepStudy.open(storage, "sweep", parse_space(SPACE), objectives=TWO))
    files = write_report(directory)
    page = files.markdown.read_text()
    assert "**Trial 1 is best: mean validation Dice 0.8200**" in page
    assert "The search was for low training time too: this trial has the highest Dice of the Pareto front" in page
    section = page.split("## Pareto front")[1].split("## ")[0]
    assert "No other trial beats these 3 of 4 in Dice and training time at once." in section
    rows = [line.split("|")[1:4] for line in section.splitlines() if line.startswith("| ") and "---" not in line]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["trial", "Dice", "training time"],
        ["1", "0.8200", "5 min"],
        ["0", "0.8000", "1 min 40 s"],
        ["3", "0.7000", "50 s"],
    ]
    assert "(front.png)" in section
    assert files.front is not None
    assert list(pd.read_csv(files.trials)["on_front"]) == [True, True, False, True]


def test_a_panel_for_each_other_objective_and_a_line_along_a_front_of_two() -> None:
    two, three = front_chart(searched(TWO)), front_chart(searched(THREE))
    assert two is not None
    assert three is not None
    assert [axes.get_xlabel() for axes in two.axes] == ["training time (s)"]
    assert [axes.get_xlabel() for axes in three.axes] == ["training time (s)", "peak memory (GiB)"]
    (line,) = two.axes[0].lines
    assert np.asarray(line.get_xydata()).tolist() == [[50, 0.70], [100, 0.80], [300, 0.82]]
    assert not any(list(axes.lines) for axes in three.axes)
    assert texts(two) == ["0 default", "1 best Dice", "3"]
    assert texts(three) == ["0 default", "1 best Dice", "2", "3"] * 2


def test_a_single_objective_has_no_front() -> None:
    assert front_chart(searched(("dice",))) is None


def test_no_front_before_a_trial_is_finished() -> None:
    study = SweepStudy.open(optuna.storages.InMemoryStorage(), "sweep", parse_space(SPACE), objectives=TWO)
    study.report(study.ask().number, 1000, evaluation(0.8, 1000), {})
    assert front_chart(Results.from_studies(study.optuna)) is None


@pytest.mark.parametrize("score", [0.0, 1.0, 250.0])
def test_scores_that_are_no_dice_can_be_drawn(score: float) -> None:
    storage = optuna.storages.InMemoryStorage()
    figure = front_chart(
        fill(SweepStudy.open(storage, "sweep", parse_space(SPACE), objectives=TWO), [(score, 100, 2.0)])
    )
    assert figure is not None
    figure.canvas.draw()


def test_leaderboard_has_the_front_first_with_its_objectives() -> None:
    text = io.StringIO()
    Console(file=text, width=120).print(leaderboard(searched(TWO)))
    lines = [line.split() for line in text.getvalue().splitlines()]
    assert lines[1][:4] == ["trial", "Dice", "training_seconds", "front"]
    assert lines[2][:5] == ["*", "1", "0.8200", "300", "yes"]
    assert [line[:4] for line in lines[3:5]] == [["0", "0.8000", "100", "yes"], ["3", "0.7000", "50", "yes"]]
    assert lines[5][:3] == ["2", "0.7900", "200"]
    assert "yes" not in lines[5]
