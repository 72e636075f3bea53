"""The advice on more trials: go on while a sweep still climbs, stop when luck moves Dice more than that."""

import time
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import optuna
import pytest
from make_sweep import evaluation, open_study
from optuna.trial import FrozenTrial

import tuner.terminator
from search_spaces.space import parse_space
from tuner.study import SweepStudy
from tuner.terminator import (
    FEWEST_TO_STOP,
    FEWEST_TRIALS,
    Gain,
    error_of_cases,
    expected_gain,
    should_stop,
    spread_of_seeds,
)

SPACE = parse_space({"x": {"float": [0, 1]}, "y": {"float": [0, 1]}})


def trained(
    scores: Sequence[float] | Callable[[dict[str, Any], int], float], trials: int, *, luck: float = 0.0, seed: int = 0
) -> SweepStudy:
    """A study of trials that reached the full budget; Dice of four cases, which `luck` moves one by one."""
    study = open_study(space=SPACE, seed=seed)
    random = np.random.default_rng(0)
    for place in range(trials):
        proposal = study.ask()
        score = scores(dict(proposal.parameters), place) if callable(scores) else scores[place]
        cases = {f"case_{n}": {"organ": score - 0.1 * n + luck * random.normal()} for n in range(4)}
        score = fmean(dice["organ"] for dice in cases.values())
        study.report(proposal.number, 1000, evaluation(score, 1000, cases=cases), {})
        study.finish(proposal.number, "full budget")
    return study


def repeated(*scores: Sequence[float]) -> list[FrozenTrial]:
    """Runs of the confirm stage, a sequence of Dice a configuration."""
    study = open_study(space=SPACE, name="confirm")
    for of, group in enumerate(scores):
        for seed, score in enumerate(group, start=1):
            study.enqueue({"x": 0.5, "y": 0.5}, seed=seed, of=of)
            number = study.ask().number
            study.report(number, 1000, evaluation(score, 1000), {})
            study.finish(number, "full budget")
    return study.trials()


def climbing(parameters: dict[str, Any], place: int) -> float:
    """Most is gained by going where no trial has been yet."""
    return float(0.5 + 0.3 * parameters["x"] * parameters["y"])


def flat(parameters: dict[str, Any], place: int) -> float:
    return 0.85


def test_early_more_trials_pay() -> None:
    gain = expected_gain(trained(climbing, FEWEST_TRIALS, luck=0.002).trials())
    assert gain is not None
    assert gain.trials == 10
    assert gain.error_of == "cases"
    assert gain.pays
    assert gain.bound > 0.01


def test_late_stopping_is_reasonable() -> None:
    trials = trained(lambda p, place: 0.88 - 0.05 * (p["x"] - 0.4) ** 2, 60, luck=0.0002).trials()
    gain = expected_gain(trials, repeated((0.880, 0.888), (0.872, 0.884)))
    assert gain is not None
    assert gain.error_of == "seeds"
    assert gain.error == pytest.approx(((0.004**2 * 2 + 0.006**2 * 2) / 2) ** 0.5)
    assert not gain.pays
    assert gain.bound < 0.004


@pytest.mark.parametrize("seed", range(4))
def test_the_bound_covers_what_is_left_to_gain(seed: int) -> None:
    """Where the best lies among the trials; what a function does beyond them no model can know."""

    def peak(parameters: dict[str, Any], place: int) -> float:
        return float(0.8 - 0.3 * ((parameters["x"] - 0.4) ** 2 + (parameters["y"] - 0.6) ** 2))

    trials = trained(peak, 20, luck=0.002, seed=seed).trials()
    gain = expected_gain(trials)
    assert gain is not None
    left = 0.8 - 0.15 - max(trial.value for trial in trials if trial.value)  # the cases lie 0.15 below on average
    assert 0 < left <= gain.bound < 0.1


def test_nothing_is_said_of_few_trials_or_where_luck_is_unknown() -> None:
    assert expected_gain([]) is None
    assert expected_gain(trained(climbing, FEWEST_TRIALS - 1, luck=0.002).trials()) is None
    study = open_study(space=SPACE)
    for score in np.linspace(0.5, 0.8, 12):
        number = study.ask().number
        study.report(number, 1000, evaluation(score, 1000, cases={"only": {"organ": score}}), {})
        study.finish(number, "full budget")
    assert expected_gain(study.trials()) is None
    assert expected_gain(study.trials(), repeated((0.7, 0.8))) is not None


def test_nothing_is_said_of_several_objectives() -> None:
    storage = optuna.storages.InMemoryStorage()
    study = SweepStudy.open(storage, "sweep", SPACE, objectives=("dice", "training_seconds"))
    for score in np.linspace(0.5, 0.8, 25):
        number = study.ask().number
        study.report(number, 1000, evaluation(score, 1000), {})
        study.finish(number, "full budget")
    assert expected_gain(study.trials()) is None
    assert not should_stop(study)


def test_spread_of_seeds_is_within_configurations() -> None:
    assert spread_of_seeds(repeated((0.7, 0.7), (0.9, 0.9))) == 0
    assert spread_of_seeds(repeated((0.7, 0.8), (0.9,))) == pytest.approx(0.0707, abs=1e-4)
    assert spread_of_seeds(repeated((0.7,), (0.9,))) is None
    assert spread_of_seeds([]) is None


def test_error_of_cases_leaves_out_that_some_cases_are_hard_for_all() -> None:
    study = open_study(space=SPACE)
    for cases in ((0.9, 0.5, 0.7), (0.8, 0.5, 0.65)):  # the differences are 0.1, 0, 0.05
        number = study.ask().number
        scores = {f"case_{place}": {"organ": dice} for place, dice in enumerate(cases)}
        study.report(number, 1000, evaluation(fmean(cases), 1000, cases=scores), {})
        study.finish(number, "full budget")
    assert error_of_cases(study.trials()) == pytest.approx(0.05 / 3**0.5)


def test_a_search_ends_late_and_not_early(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(trials: Sequence[FrozenTrial]) -> Gain | None:
        asked.append(len(trials))
        return expected_gain(trials)

    monkeypatch.setattr(tuner.terminator, "expected_gain", counted)
    assert not should_stop(trained(flat, FEWEST_TO_STOP - 1, luck=0.02))
    assert asked == []
    assert not should_stop(trained(climbing, 25, luck=0.001))
    study = trained(flat, 60, luck=0.02)
    assert should_stop(study)
    assert should_stop(study)
    assert asked == [25, 60]  # not computed again while no trial ends


@pytest.mark.slow
def test_advice_takes_less_than_a_second_at_100_trials() -> None:
    expected_gain(trained(climbing, 12, luck=0.002).trials())  # the first call imports torch
    trials = trained(climbing, 100, luck=0.002).trials()
    started = time.process_time()
    expected_gain(trials)
    assert time.process_time() - started < 1
