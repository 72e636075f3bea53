"""What trainings on every fold say together, by hand."""

import math
from collections.abc import Mapping

import pandas as pd
import pytest
from make_sweep import evaluation, open_study
from optuna.distributions import IntDistribution
from optuna.trial import create_trial

from search_spaces.space import parse_space
from trainables.split import Split
from tuner.cross_validation import CrossValidation, place_of
from tuner.errors import SweepFailed
from tuner.study import SweepStudy

SPLITS = (
    Split(train=("c", "d"), validation=("a", "b"), test=("t",)),
    Split(train=("a", "b"), validation=("c", "d"), test=("t",)),
)
GROUPS = {"a": "1", "b": "1", "c": "2", "d": "3", "t": "4"}
SPACE = parse_space({"configuration": {"int": [0, 99]}, "fold": {"int": [0, 1]}})
FOLDS = IntDistribution(0, 1)
SEVEN = {0: {"a": (0.9, 0.7), "b": (0.8, 0.8)}, 1: {"c": (0.5, 0.3), "d": (1.0, 0.6)}}
"""Dice of the two classes, by fold and case: case means 0.8, 0.8, 0.4, 0.8."""
THREE = {0: {"a": (0.8, 0.7), "b": (0.8, 0.7)}, 1: {"c": (0.5, 0.4), "d": (0.9, 0.6)}}
"""0.75, 0.75, 0.45, 0.75."""


def trained(study: SweepStudy, configuration: int, fold: int, cases: Mapping[str, tuple[float, float]]) -> None:
    study.enqueue({"configuration": configuration, "fold": fold}, seed=3)
    number = study.ask().number
    scores = {case: {"front": front, "back": back} for case, (front, back) in cases.items()}
    mean = sum(sum(pair) / 2 for pair in cases.values()) / len(cases)
    study.report(number, 1000, evaluation(mean, 1000, cases=scores))
    study.finish(number, "full budget")


def two_configurations(chosen_on: frozenset[str] = frozenset()) -> CrossValidation:
    study = open_study(space=SPACE)
    for configuration, folds in {3: THREE, 7: SEVEN}.items():
        for fold, cases in folds.items():
            trained(study, configuration, fold, cases)
    return CrossValidation.of(study.trials(), SPLITS, groups=GROUPS, chosen_on=chosen_on)


def test_mean_and_spread_over_cases_and_over_folds() -> None:
    cross = two_configurations(chosen_on=frozenset("ab"))
    found = cross.figures(7)
    assert found.mean == pytest.approx(0.7)
    assert found.sd_over_cases == pytest.approx(0.2)  # 0.1, 0.1, 0.3, 0.1 off: sqrt(0.12 / 3)
    assert found.by_fold.to_dict() == pytest.approx({0: 0.8, 1: 0.6})
    assert found.mean_of_folds == pytest.approx(0.7)
    assert found.sd_over_folds == pytest.approx(math.sqrt(0.02))
    assert found.by_class["mean"].to_dict() == pytest.approx({"front": 0.8, "back": 0.6})
    assert list(found.by_class.index) == ["front", "back"]  # as the data set has them
    assert found.by_class.loc["front", "sd"] == pytest.approx(math.sqrt(0.14 / 3))
    assert found.worst.iloc[0].to_dict() == {"case": "c", "fold": 1, "dice": pytest.approx(0.4)}
    assert list(found.worst["case"]) == ["c", "a", "b", "d"]
    assert found.not_chosen_on == pytest.approx(0.6)  # of c and d
    assert math.isnan(two_configurations(chosen_on=frozenset("abcd")).figures(7).not_chosen_on)


def test_five_of_the_worst_cases_are_told_and_equal_ones_by_name() -> None:
    names = [f"case_{number:02d}" for number in range(40)]
    rows = [(7, 0, name, "front", 0.3 if number % 4 == 3 else 0.8) for number, name in enumerate(names)]
    scores = pd.DataFrame(rows, columns=["configuration", "fold", "case", "class", "dice"])
    worst = CrossValidation(scores=scores, runs=pd.DataFrame(), splits=SPLITS, groups={}).figures(7).worst
    assert list(worst["case"]) == ["case_03", "case_07", "case_11", "case_15", "case_19"]


def test_the_best_by_cross_validated_dice_comes_first() -> None:
    cross = two_configurations()
    assert cross.ranking == [7, 3]  # 0.7 and 0.675
    assert cross.trials_of(7) == {0: 2, 1: 3}
    assert list(cross.runs["seed"]) == [3] * 4


def test_what_is_told_of_each_training() -> None:
    run = two_configurations().runs.iloc[-1]
    told = {name: run[name] for name in ("configuration", "fold", "trial", "seed", "dice", "device")}
    assert told == {"configuration": 7, "fold": 1, "trial": 3, "seed": 3, "dice": pytest.approx(0.6), "device": "cpu"}
    assert (run["training_seconds"], run["evaluation_seconds"]) == (100.0, 4.0)  # of `evaluation` at step 1000
    assert run["started"] <= run["ended"]


def test_the_difference_is_paired_over_cases_and_its_interval_over_groups() -> None:
    found = two_configurations().difference(7, 3)
    assert found.mean == pytest.approx(0.025)  # of 0.05, 0.05, -0.05, 0.05
    assert found.better == 3
    # Groups' sums are 0.1, -0.05, 0.05 for 2, 1 and 1 cases: off by 0.05, -0.075, 0.025 from 0.025 a case.
    error = math.sqrt(3 / 2 * (0.05**2 + 0.075**2 + 0.025**2)) / 4
    assert found.high - found.mean == pytest.approx(4.302653 * error, rel=1e-5)  # Student's t, 2 degrees of freedom
    assert found.mean - found.low == pytest.approx(found.high - found.mean)
    assert not found.clear
    other = two_configurations().difference(3, 7)
    assert (other.mean, other.low, other.high) == pytest.approx((-found.mean, -found.high, -found.low))
    assert two_configurations().difference(7, 7).better == 0  # equal is not better


def test_an_interval_of_independent_cases_is_the_usual_one() -> None:
    cross = two_configurations()
    alone = CrossValidation(scores=cross.scores, runs=cross.runs, splits=SPLITS, groups={case: case for case in "abcd"})
    found = alone.difference(7, 3)
    differences = pd.Series([0.05, 0.05, -0.05, 0.05])
    assert found.high - found.mean == pytest.approx(3.182446 * differences.std() / 2, rel=1e-5)


def test_two_groups_are_enough_for_an_interval() -> None:
    cross, pairs = two_configurations(), {"a": "x", "b": "x", "c": "y", "d": "y"}
    found = CrossValidation(scores=cross.scores, runs=cross.runs, splits=SPLITS, groups=pairs).difference(7, 3)
    # Groups' sums are 0.1 and 0: off by 0.05 from 0.025 a case, and Student's t has 1 degree of freedom.
    assert found.high - found.mean == pytest.approx(12.7062 * math.sqrt(2 * 2 * 0.05**2) / 4, rel=1e-5)


def test_one_group_has_no_interval() -> None:
    cross = two_configurations()
    same = CrossValidation(scores=cross.scores, runs=cross.runs, splits=SPLITS, groups=dict.fromkeys("abcd", "x"))
    found = same.difference(7, 3)
    assert math.isnan(found.low)
    assert not found.clear


def test_what_was_not_trained_on_all_folds_is_not_ranked() -> None:
    study = open_study(space=SPACE)
    trained(study, 7, 0, SEVEN[0])
    trained(study, 3, 0, THREE[0])
    trained(study, 3, 1, THREE[1])
    study.enqueue({"configuration": 7, "fold": 1}, seed=3)
    waiting = study.trials()[-1]
    assert place_of(waiting) == (7, 1)
    assert CrossValidation.of(study.trials(), SPLITS, groups=GROUPS).ranking == [3]


def test_where_there_is_one_configuration_it_has_no_number() -> None:
    assert place_of(create_trial(values=[0.5], params={"fold": 1}, distributions={"fold": FOLDS})) == (0, 1)


def test_scores_of_other_cases_are_refused() -> None:
    study = open_study(space=SPACE)
    trained(study, 7, 0, {"toy_001": (0.5, 0.5)})
    with pytest.raises(SweepFailed, match="trial 0 reports the Dice of 1 cases, which are not the 2 that validate in "):
        CrossValidation.of(study.trials(), SPLITS, groups=GROUPS)
    none = create_trial(values=[0.5], params={"fold": 1}, distributions={"fold": FOLDS})
    with pytest.raises(SweepFailed, match="trial -1 reports the Dice of 0 cases, which are not the 2 "):
        CrossValidation.of([none], SPLITS, groups=GROUPS)


def test_nothing_trained_yet() -> None:
    nothing = CrossValidation.of([], SPLITS, groups=GROUPS)
    assert nothing.ranking == []
    assert list(nothing.scores) == ["configuration", "fold", "case", "class", "dice"]
