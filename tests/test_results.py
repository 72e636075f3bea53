"""Results are read back from studies that SweepStudy wrote."""

from dataclasses import replace
from pathlib import Path

import optuna
import pandas as pd
import pytest
from make_sweep import CASES, DEFAULT, SPACE, evaluation, open_study, play, stint_on, sweep_directory

from search_spaces.space import parse_space
from tuner.errors import StudyError
from tuner.results import Results, read_results
from tuner.storage import open_storage
from tuner.study import DEFAULT_ORIGIN, StopReason, SweepStudy


def results_of(sweep: SweepStudy, confirm: SweepStudy | None = None) -> Results:
    return Results.from_studies(sweep.optuna, confirm.optuna if confirm else None)


def run_one(study: SweepStudy, scores: dict[int, float], reason: StopReason = "full budget") -> int:
    number = study.ask().number
    for step, score in scores.items():
        study.report(number, step, evaluation(score, step), stint=stint_on("node-1"))
    study.finish(number, reason)
    return number


def test_trials_have_one_row_each_with_the_last_evaluation() -> None:
    study = open_study()
    study.enqueue(DEFAULT, origin=DEFAULT_ORIGIN)
    run_one(study, {111: 0.5, 333: 0.7, 1000: 0.8})
    run_one(study, {111: 0.4}, "stopped at rung")
    run_one(study, {}, "out of memory")
    study.ask()
    trials = results_of(study).trials
    assert list(trials["state"]) == ["COMPLETE", "PRUNED", "PRUNED", "RUNNING"]
    assert list(trials["stop_reason"][:3]) == ["full budget", "stopped at rung", "out of memory"]
    assert list(trials["step"]) == [1000, 111, 0, 0]
    assert list(trials["score"][:2]) == [0.8, 0.4]
    assert trials["score"][2:].isna().all()
    first = trials.iloc[0]
    assert first["budget_used"] == 1000e6
    assert first["training_seconds"] == pytest.approx(100)
    assert first["dice_Anterior"] == pytest.approx(0.82)
    assert first["training_loss"] == pytest.approx(0.2)
    assert (first["peak_gib"], first["parameter_count"], first["node"]) == (1.25, 1_400_000, "node-1")
    assert [first[f"{name}_seconds"] for name in ("start", "checkpoint", "waiting")] == [1.0, 0.5, pytest.approx(8.5)]
    assert {name: first[name] for name in DEFAULT} == DEFAULT
    assert first["ended"] >= first["started"]
    assert pd.isna(trials["ended"][3])


def test_reported_names_do_not_hide_parameters_of_the_same_name() -> None:
    study = open_study(space=parse_space({"loss": {"choice": ["dice", "dice_ce"]}, "device": {"int": [7, 8]}}))
    study.enqueue({"loss": "dice", "device": 7})
    run_one(study, {1000: 0.8})
    first = results_of(study).trials.iloc[0]
    assert (first["loss"], first["training_loss"]) == ("dice", pytest.approx(0.2))
    assert (first["parameter_device"], first["device"]) == (7, "cpu")


def test_columns_stand_before_the_first_trial_as_after_it() -> None:
    empty, full = open_study(), open_study()
    play(full, 3)
    before, after = results_of(empty), results_of(full)
    assert len(before.trials) == len(before.curves) == len(before.cases) == len(before.confirmed) == 0
    assert set(after.trials) - set(before.trials) == {"training_loss", "dice_Anterior", "dice_Posterior"}
    assert list(before.cases) == list(after.cases)
    assert before.best is None
    assert before.default is None


def test_curves_keep_the_last_evaluation_of_a_step_as_the_study_does() -> None:
    study = open_study()
    number = study.ask().number
    study.report(number, 111, evaluation(0.5, 111), {})
    study.release([number])
    assert study.ask().number == number
    study.report(number, 111, evaluation(0.6, 111), {})
    study.report(number, 333, evaluation(0.7, 333), {})
    curves = results_of(study).curves
    assert list(curves["step"]) == [111, 333]
    assert list(curves["score"]) == list(study.trials()[0].intermediate_values.values()) == [0.6, 0.7]


def test_cases_hold_the_last_evaluation_of_every_run() -> None:
    study, confirm = open_study(), open_study(name="confirm")
    run_one(study, {1000: 0.8})
    confirm.enqueue(DEFAULT, seed=1, of=0)
    run_one(confirm, {1000: 0.7})
    confirm.optuna.set_user_attr("test", {"sweep:0": {"case_009": {"Anterior": 0.6, "Posterior": 0.7}}})
    results = results_of(study, confirm)
    cases = results.cases
    assert len(cases) == 2 * len(CASES) * 2 + 2
    row = cases[(cases["study"] == "confirm") & (cases["case"] == "case_002") & (cases["class"] == "Posterior")]
    assert row["dice"].item() == pytest.approx(0.68)
    assert results.best is not None
    assert results.case_scores(results.best.found, "test").to_dict() == {"case_009": pytest.approx(0.65)}
    assert list(results.case_scores(results.best.runs[0]).index) == list(CASES)


def test_test_scores_are_read_from_either_study_and_confirms_go_first() -> None:
    study, confirm = open_study(), open_study(name="confirm")
    run_one(study, {1000: 0.8})
    run_one(study, {1000: 0.7})
    study.optuna.set_user_attr("test", {f"sweep:{n}": {"case_009": {"Anterior": 0.5 + n / 10}} for n in (0, 1)})
    assert results_of(study).tested["sweep:0"] == {"case_009": {"Anterior": 0.5}}
    confirm.optuna.set_user_attr("test", {"sweep:0": {"case_009": {"Anterior": 0.9}}})
    tested = results_of(study, confirm).tested
    assert tested["sweep:0"] == {"case_009": {"Anterior": 0.9}}
    assert tested["sweep:1"] == {"case_009": {"Anterior": 0.6}}


def test_best_is_the_highest_dice_at_the_full_budget() -> None:
    study = open_study()
    run_one(study, {111: 0.9, 333: 0.95}, "stopped at rung")
    run_one(study, {111: 0.5, 333: 0.6, 1000: 0.7})
    run_one(study, {111: 0.5, 333: 0.6, 1000: 0.8})
    best = results_of(study).best
    assert best is not None
    assert (best.number, best.basis, best.run.score) == (2, "full budget", 0.8)
    assert best.parameters == {**study.trials()[2].params, "optimizer": "adamw"}


def test_without_a_finished_trial_best_is_the_one_that_came_furthest() -> None:
    study = open_study()
    run_one(study, {111: 0.9}, "stopped at rung")
    run_one(study, {111: 0.5, 333: 0.6}, "stopped at rung")
    run_one(study, {111: 0.7, 333: 0.8}, "error")
    run_one(study, {111: 0.7, 333: 0.8}, "out of memory")
    best = results_of(study).best
    assert best is not None
    assert (best.number, best.basis, best.run.step) == (1, "unfinished", 333)


def confirmed_study() -> tuple[SweepStudy, SweepStudy]:
    """Trial 0 is best in the search, trial 1 over other seeds: means 0.75 and 0.79."""
    study, confirm = open_study(), open_study(name="confirm")
    for score in (0.84, 0.82, 0.81):
        run_one(study, {1000: score})
    for config, seed, score in ((0, 1, 0.76), (1, 1, 0.79), (0, 2, 0.74), (1, 2, 0.79)):
        confirm.enqueue(DEFAULT, seed=seed, of=config)
        run_one(confirm, {1000: score})
    test = {
        "sweep:0": 0.75,
        "sweep:1": 0.77,
        "confirm:0": 0.74,
        "confirm:1": 0.77,
        "confirm:2": 0.72,
        "confirm:3": 0.80,
    }
    confirm.optuna.set_user_attr("test", {run: {"case_009": {"Anterior": dice}} for run, dice in test.items()})
    return study, confirm


def test_after_confirm_best_is_the_highest_mean_over_other_seeds() -> None:
    study, confirm = confirmed_study()
    results = results_of(study, confirm)
    assert len(results.confirmed) == 6
    summary = results.confirmed_summary
    assert list(summary["config"]) == [1, 0]
    assert list(summary["search"]) == [0.82, 0.84]
    assert list(summary["runs"]) == [2, 2]
    assert list(summary["validation_mean"]) == pytest.approx([0.79, 0.75])
    assert summary["validation_std"][1] == pytest.approx(0.0141421356)  # of 0.76 and 0.74
    assert list(summary["test_mean"]) == pytest.approx([0.785, 0.73])
    assert results.confirmed["test"].isna().sum() == 0
    best = results.best
    assert best is not None
    assert (best.number, best.basis, [run.seed for run in best.runs]) == (1, "confirmed", [1, 2])
    assert best.score == pytest.approx(0.79)
    assert (best.run.study, best.run.number, best.run.score) == ("sweep", 1, 0.82)  # the model to use


def test_a_lucky_run_of_the_search_does_not_make_a_configuration_best() -> None:
    study, confirm = open_study(), open_study(name="confirm")
    for score in (0.95, 0.80):
        run_one(study, {1000: score})
    for config, score in ((0, 0.78), (1, 0.79)):  # with the search's own runs the means would be 0.865 and 0.795
        confirm.enqueue(DEFAULT, seed=1, of=config)
        run_one(confirm, {1000: score})
    best = results_of(study, confirm).best
    assert best is not None
    assert (best.number, best.score, best.found.score) == (1, 0.79, 0.80)


def test_until_confirm_is_over_the_sweep_decides() -> None:
    study, confirm = confirmed_study()
    confirm.enqueue(DEFAULT, seed=3, of=1)
    best = results_of(study, confirm).best
    assert best is not None
    assert (best.number, best.basis) == (0, "full budget")
    run_one(confirm, {111: 0.5}, "error")
    results = results_of(study, confirm)
    assert results.best is not None
    assert results.best.number == 1
    assert len(results.best.runs) == 2
    assert results.confirmed["validation"].isna().sum() == 1


def test_planned_trials_are_none_and_interrupted_ones_are() -> None:
    study = open_study()
    study.enqueue(DEFAULT, origin=DEFAULT_ORIGIN)
    study.plan(4)
    run_one(study, {1000: 0.8})
    interrupted = study.ask().number
    study.report(interrupted, 111, evaluation(0.5, 111), {})
    study.release([interrupted])
    results = results_of(study)
    assert list(results.trials["number"]) == [0, 1]
    assert list(results.trials["state"]) == ["COMPLETE", "INTERRUPTED"]
    assert [run.number for run in results.standings] == [0, 1]


def test_configurations_turned_away_are_no_trials() -> None:
    study = open_study()
    number = study.ask().number
    study.finish(number, "turned away", facts={"estimated_gib": 12.5, "memory_limit_gib": 10.0})
    run_one(study, {1000: 0.8})
    results = results_of(study)
    assert list(results.trials["number"]) == [1]
    assert [run.number for run in results.standings] == [1]
    away = results.turned_away
    assert list(away["number"]) == [0]
    assert (away["estimated_gib"][0], away["memory_limit_gib"][0]) == (12.5, 10.0)
    assert away["learning_rate"][0] == study.trials()[0].params["learning_rate"]
    assert list(results_of(open_study()).turned_away) == list(away)


def test_several_objectives_give_a_front_and_the_highest_dice_is_best() -> None:
    study = SweepStudy.open(
        optuna.storages.InMemoryStorage(), "sweep", parse_space(SPACE), objectives=("training_seconds", "dice")
    )
    for score, seconds in ((0.80, 100), (0.82, 300), (0.79, 200), (0.70, 50)):
        number = study.ask().number
        study.report(number, 1000, replace(evaluation(score, 1000), training_seconds=seconds), {})
        study.finish(number, "full budget")
    study.ask()
    results = results_of(study)
    assert results.objectives == ("training_seconds", "dice")
    assert results.front == {0, 1, 3}
    trials = results.trials
    assert list(trials["on_front"]) == [True, True, False, True, False]
    assert list(trials["training_seconds"][:4]) == [100, 300, 200, 50]
    assert list(trials["score"][:4]) == [0.80, 0.82, 0.79, 0.70]
    assert results.best is not None
    assert (results.best.number, results.best.score) == (1, 0.82)
    assert "on_front" not in results_of(open_study()).trials


def test_default_is_the_trial_enqueued_as_such() -> None:
    enqueued, sampled = open_study(), open_study()
    enqueued.enqueue(DEFAULT, origin=DEFAULT_ORIGIN)
    for study in (enqueued, sampled):
        run_one(study, {111: 0.6}, "stopped at rung")
    default = results_of(enqueued).default
    assert default is not None
    assert (default.number, default.step, default.score) == (0, 111, 0.6)
    assert results_of(sampled).default is None


def test_reads_a_sweep_while_another_process_writes_it(tmp_path: Path) -> None:
    directory = sweep_directory(tmp_path / "heart")
    study = open_study(open_storage(None, directory.journal, owner=True))
    run_one(study, {1000: 0.8})
    study.ask()
    results = read_results(directory)
    assert list(results.trials["state"]) == ["COMPLETE", "RUNNING"]
    assert results.best is not None
    assert results.best.run.score == 0.8


def test_says_that_a_sweep_has_not_begun_and_makes_no_file(tmp_path: Path) -> None:
    directory = sweep_directory(tmp_path / "heart")
    with pytest.raises(StudyError, match="sweep heart: no trial was begun yet"):
        read_results(directory)
    assert not directory.journal.exists()
    open_storage(None, directory.journal, owner=True)
    with pytest.raises(StudyError, match="sweep heart: no trial was begun yet"):
        read_results(directory)


def test_refuses_a_study_of_something_else() -> None:
    with pytest.raises(StudyError, match="study 'other' has no search space: it was not made by voxtune"):
        Results.from_studies(optuna.create_study(study_name="other"))
