"""Proposals by a Gaussian process over every rung, on functions whose best is known."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import TrialState, create_trial

from tuner.rung_gp import Fits, RungGPSampler, _first_of_block
from tuner.rungs import SuccessiveHalving
from tuner.seeded import SeededByNumber

SPACE: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "dropout": FloatDistribution(0.0, 0.8),
    "width": IntDistribution(8, 64, step=8),
    "loss": CategoricalDistribution(["dice", "ce", "both"]),
}
LINE: dict[str, BaseDistribution] = {"x": FloatDistribution(0.0, 1.0), "y": FloatDistribution(0.0, 1.0)}
RUNGS = SuccessiveHalving((111, 333, 1000), 3)
Sampler = Callable[[int], BaseSampler]


def gp(seed: int, startup: int = 6) -> Sampler:
    fits: dict[int, Fits] = {}
    return lambda number: RungGPSampler(
        seed=1000 * seed + number, n_startup_trials=startup, n_candidates=200, fits=fits
    )


def study_of(sampler: Sampler) -> optuna.Study:
    return optuna.create_study(direction="maximize", sampler=SeededByNumber(sampler))


def played(
    sampler: Sampler,
    score: Callable[[Mapping[str, Any], int], float | None],
    *,
    trials: int,
    space: Mapping[str, BaseDistribution] = SPACE,
) -> optuna.Study:
    """A search one trial at a time; a score of None: out of memory."""
    study = study_of(sampler)
    for _ in range(trials):
        trial = study.ask(dict(space))
        state, value = TrialState.PRUNED, None
        for step in RUNGS.steps:
            reached = score(trial.params, step)
            if reached is None:
                trial.set_constraint("memory", 1.0)
                break
            trial.report(reached, step)
            there = {t.number: t.intermediate_values[step] for t in study.trials if step in t.intermediate_values}
            if step == 1000:
                state, value = TrialState.COMPLETE, reached
            elif not RUNGS.goes_on(trial.number, there):
                break
        study.tell(trial, value, state=state)
    return study


def bowl(parameters: Mapping[str, Any], step: int) -> float:
    """Best, 1, at rate 1e-2, dropout 0.2, width 48, loss both; less at lower rungs."""
    off = (np.log10(parameters["rate"]) + 2) ** 2 / 4 + (parameters["dropout"] - 0.2) ** 2
    off += (parameters["width"] - 48) ** 2 / 2000 + 0.3 * (parameters["loss"] != "both")
    return 1 - float(off) - 0.1 * np.log(1000 / step)


def best(study: optuna.Study) -> float:
    return max(score for trial in study.trials for score in trial.intermediate_values.values())


@pytest.mark.slow
def test_finds_the_best_quicker_than_random():
    ours = [1 - best(played(gp(seed), bowl, trials=40)) for seed in range(3)]
    drawn = [
        1 - best(played(lambda n, s=seed: RandomSampler(seed=1000 * s + n), bowl, trials=120)) for seed in range(3)
    ]
    assert max(ours) < min(drawn)  # though it has a third of the trials
    assert max(ours) < 0.02


def add(study: optuna.Study, x: float, y: float, scores: Mapping[int, float], *, infeasible: bool = False) -> None:
    full = scores.get(1000)
    trial = create_trial(
        state=TrialState.PRUNED if full is None else TrialState.COMPLETE,
        value=full,
        params={"x": x, "y": y},
        distributions=LINE,
        intermediate_values=dict(scores),
    )
    trial.set_constraint("memory", float(infeasible))
    study.add_trial(trial)


def proposed(study: optuna.Study, count: int = 8) -> list[dict[str, float]]:
    """What it would propose next, each time without knowing of the others."""
    found = []
    for _ in range(count):
        trial = study.ask(LINE)
        found.append(trial.params)
        study.tell(trial, state=TrialState.PRUNED)  # no scores: nothing is learned from it
    return found


def test_learns_from_trials_that_were_stopped_at_the_lowest_rung():
    study = study_of(gp(0))
    for x, y in np.random.default_rng(0).random((30, 2)):
        add(study, x, y, {111: 1 - (x - 0.2) ** 2})
    assert np.mean([abs(one["x"] - 0.2) < 0.15 for one in proposed(study)]) > 0.7  # 0.3 of random ones


def test_asks_for_what_is_best_at_the_full_budget_not_at_low_rungs():
    study = study_of(gp(0))
    for x, y in np.random.default_rng(0).random((30, 2)):
        add(study, x, y, {111: 1 - (x - 0.2) ** 2, 1000: 1.1 - (x - 0.8) ** 2})
    assert np.mean([abs(one["x"] - 0.8) < 0.15 for one in proposed(study)]) > 0.7


@pytest.mark.parametrize("how", ["infeasible", "failed", "ignored"])
def test_avoids_where_trials_gave_no_score(how):
    """Better towards x = 1, but nothing beyond 0.6 can be trained."""
    study = study_of(gp(0))
    for x, y in np.random.default_rng(0).random((30, 2)):
        if x < 0.6:
            add(study, x, y, {111: x})
        elif how == "infeasible":
            add(study, x, y, {}, infeasible=True)
        elif how == "failed":
            study.add_trial(create_trial(state=TrialState.FAIL, params={"x": x, "y": y}, distributions=LINE))
    beyond = np.mean([one["x"] > 0.65 for one in proposed(study)])
    assert beyond > 0.7 if how == "ignored" else beyond < 0.2


def test_few_trials_run_out_of_memory_though_the_best_lies_beside_them():
    def score(parameters: Mapping[str, Any], step: int) -> float | None:
        total = parameters["x"] + parameters["y"]
        return None if total > 1.2 else float(total)

    study = played(gp(1), score, trials=40, space=LINE)
    assert np.mean([trial.constraints.get("memory", 0) for trial in study.trials[15:]]) < 0.32  # as many as at random
    assert best(study) > 1.15


def test_trials_that_run_at_once_get_different_configurations():
    study = study_of(gp(0))
    for x, y in np.random.default_rng(0).random((20, 2)):
        add(study, x, y, {111: 1 - (x - 0.2) ** 2 - (y - 0.5) ** 2})
    running = [study.ask(LINE).params for _ in range(7)]
    points = np.array([[one["x"], one["y"]] for one in running])
    apart = np.linalg.norm(points[:, None] - points, axis=2)[~np.eye(len(points), dtype=bool)]
    assert apart.min() > 0.02


def test_a_space_of_few_configurations_is_not_asked_for_one_twice():
    space = {"a": CategoricalDistribution([1, 2, 3]), "b": CategoricalDistribution(["u", "v", "w"])}
    study = played(gp(0, startup=2), lambda parameters, step: parameters["a"], trials=9, space=space)
    learned = [tuple(trial.params.values()) for trial in study.trials]
    assert len(set(learned)) >= 8  # the two random ones may be alike


@pytest.mark.slow
def test_a_search_taken_up_in_the_middle_goes_on_as_an_undisturbed_one():
    def proposals(restarts: tuple[int, ...]) -> list[Mapping[str, Any]]:
        study = study_of(gp(3))
        for number in range(46):
            if number in restarts:
                study.sampler = SeededByNumber(gp(3))
            trial = study.ask(SPACE)
            for step in (111, 1000)[: 1 + number % 2]:
                trial.report(bowl(trial.params, step), step)
            if number % 2:
                study.tell(trial, bowl(trial.params, 1000))
            else:
                study.tell(trial, state=TrialState.PRUNED)
        return [trial.params for trial in study.trials]

    undisturbed = proposals(())
    assert proposals((7, 35, 43)) == undisturbed
    assert len({tuple(params.values()) for params in undisturbed}) == 46


def test_hyperparameters_are_shared_by_blocks_of_trials():
    assert [_first_of_block(number) for number in (0, 5, 31, 32, 39, 40, 47)] == [0, 5, 31, 32, 32, 40, 40]


def test_minimizing_is_the_same_search_upside_down():
    studies = [optuna.create_study(direction=d, sampler=SeededByNumber(gp(0))) for d in ("maximize", "minimize")]
    for x, y in np.random.default_rng(0).random((20, 2)):
        add(studies[0], x, y, {111: x, 1000: x + y})
        add(studies[1], x, y, {111: -x, 1000: -x - y})
    assert proposed(studies[0], 3) == proposed(studies[1], 3)


def test_a_final_score_alone_counts_as_one_at_the_full_budget():
    study = study_of(gp(0))
    for x, y in np.random.default_rng(0).random((20, 2)):
        study.add_trial(create_trial(value=-((x - 0.7) ** 2), params={"x": x, "y": y}, distributions=LINE))
    assert np.mean([abs(one["x"] - 0.7) < 0.15 for one in proposed(study)]) > 0.7


def test_several_objectives_are_refused():
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=RungGPSampler(seed=0))
    with pytest.raises(ValueError, match="gp learns from one score a trial, and this study has several objectives"):
        study.ask(LINE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_startup_trials": -1}, "n_startup_trials must be a whole number of at least 0; got -1"),
        ({"n_candidates": 1}, "n_candidates must be a whole number of at least 2; got 1"),
        ({"n_candidates": "many"}, "n_candidates must be a whole number of at least 2; got 'many'"),
    ],
)
def test_senseless_numbers_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RungGPSampler(seed=0, **options)


def test_many_scores_stay_quick():
    """Of 1,500 scores it looks at 300, the best among them."""
    study = study_of(gp(0))
    rng = np.random.default_rng(0)
    for x, y in rng.random((1500, 2)):
        add(study, x, y, {111: 1 - (x - 0.2) ** 2})
    with warnings.catch_warnings(action="error"):
        assert np.mean([abs(one["x"] - 0.2) < 0.15 for one in proposed(study, 4)]) > 0.7
