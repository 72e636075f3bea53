"""The table that a sweep ends with."""

import io

from make_sweep import DEFAULT, evaluation, open_study
from rich.console import Console

from tuner.leaderboard import leaderboard
from tuner.results import Results
from tuner.study import SweepStudy


def run(study: SweepStudy, score: float, step: int = 1000) -> int:
    number = study.ask().number
    study.report(number, step, evaluation(score, step), {})
    study.finish(number, "full budget" if step == 1000 else "stopped at rung")
    return number


def lines(study: SweepStudy, confirm: SweepStudy | None = None, *, width: int = 120) -> list[list[str]]:
    """The words of each line below the title."""
    text = io.StringIO()
    results = Results.from_studies(study.optuna, confirm.optuna if confirm else None)
    Console(file=text, width=width).print(leaderboard(results))
    return [line.split() for line in text.getvalue().splitlines()[1:]]


def test_trials_by_budget_then_dice() -> None:
    study = open_study()
    study.enqueue(DEFAULT)
    run(study, 0.9, step=333)
    run(study, 0.7)
    run(study, 0.8)
    header, *rows = lines(study)
    assert header == ["trial", "Dice", "learning_rate", "batch_size", "patch_size", "loss"]
    assert [row[:2] for row in rows] == [["*", "2"], ["1", "0.7000"], ["0", "0.9000"]]
    assert rows[2][2:] == ["at", "33%", "0.001", "2", "32", "dice_ce"]


def test_the_confirmed_best_stands_first_with_the_search_and_other_seeds_apart() -> None:
    study, confirm = open_study(), open_study(name="confirm")
    for score in (0.84, 0.82, 0.81):
        run(study, score)
    for of, scores in ((0, (0.76, 0.74)), (1, (0.79, 0.81))):
        for seed, score in enumerate(scores, start=1):
            confirm.enqueue(DEFAULT, seed=seed, of=of)
            run(confirm, score)
    tested = {"sweep:0": 0.9, "sweep:2": 0.5, "confirm:2": 0.7, "confirm:3": 0.8}
    confirm.optuna.set_user_attr("test", {name: {"case_9": {"organ": dice}} for name, dice in tested.items()})
    header, *rows = lines(study, confirm)
    assert header[:5] == ["trial", "Dice", "other", "seeds", "test"]
    assert rows[0][:9] == ["*", "1", "0.8200", "0.8000", "±", "0.0141", "0.7500", "±", "0.0707"]
    assert rows[1][:5] == ["0", "0.8400", "0.7500", "±", "0.0141"]  # its repeats were not tested
    assert rows[2][:3] == ["2", "0.8100", "0.5000"]  # not confirmed: the test Dice of the search's own run


def test_configurations_turned_away_are_not_on_it() -> None:
    study = open_study()
    study.finish(study.ask().number, "turned away", facts={"estimated_gib": 12.0, "memory_limit_gib": 10.0})
    run(study, 0.8)
    study.plan(4)
    assert [row[:2] for row in lines(study)[1:]] == [["*", "1"]]


def test_an_empty_sweep_has_an_empty_one() -> None:
    assert len(lines(open_study())) == 1
