"""What trials say, as arrays."""

import math

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from tuner.observed import MOST_SCORES, Observed, scores_of
from tuner.unit_cube import UnitCube

SPACE = {"x": FloatDistribution(0.0, 1.0)}


def trial(
    x: float, scores: dict[int, float], state: TrialState = TrialState.PRUNED, memory: float = 0.0
) -> FrozenTrial:
    final = scores[1000] if state == TrialState.COMPLETE else None
    made = create_trial(state=state, value=final, params={"x": x}, distributions=SPACE, intermediate_values=scores)
    made.set_constraint("memory", memory)
    return made


def running(x: float, scores: dict[int, float]) -> FrozenTrial:
    study = optuna.create_study()
    begun = study.ask()
    begun._suggest("x", FloatDistribution(x, x))
    for step, score in scores.items():
        begun.report(score, step)
    return study.trials[0]


def observed(*trials: FrozenTrial, sign: int = 1) -> Observed:
    return Observed.of(trials, UnitCube(SPACE), sign=sign)


def test_every_rung_of_every_trial_is_a_score():
    seen = observed(
        trial(0.1, {111: 0.3, 333: 0.5}),
        trial(0.2, {111: 0.4, 333: 0.6, 1000: 0.7}, TrialState.COMPLETE),
        running(0.3, {111: 0.2}),
    )
    inputs, values = seen.scored()
    assert inputs.columns[:, 0] == pytest.approx([0.1, 0.1, 0.2, 0.2, 0.2, 0.3])
    assert inputs.budgets == pytest.approx([math.log(1000 / step) for step in (111, 333, 111, 333, 1000, 111)])
    assert list(np.argsort(values)) == [5, 0, 2, 1, 3, 4]
    assert values.mean() == pytest.approx(0)
    assert values.std() == pytest.approx(1)
    assert seen.running.tolist() == [False, False, True]


def test_equal_scores_stay_equal_and_extremes_weigh_no_more_than_their_place():
    _, values = observed(*[trial(0.5, {111: score}) for score in (0.5, 0.5, 0.6, -1e9)]).scored()
    assert values[0] == values[1]
    assert values[2] - values[0] < 3
    assert values[0] - values[3] < 3


def test_labels_say_where_training_is_possible():
    seen = observed(
        trial(0.1, {111: 0.3}),
        trial(0.2, {}, memory=1.0),
        trial(0.3, {111: 0.3}, memory=1.0),  # ran out of memory later
        trial(0.4, {}, TrialState.FAIL),
        running(0.5, {}),  # not known yet
        running(0.6, {111: 0.1}),
        trial(0.7, {}),
    )
    inputs, labels = seen.labelled()
    assert inputs.columns[:, 0] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.6])
    assert labels.tolist() == [1, -1, -1, -1, 1]


def test_scores_to_be_low_are_turned_round():
    assert observed(trial(0.1, {111: 3.0}), sign=-1).scores.tolist() == [-3.0]


def test_no_trials_and_no_scores_are_no_trouble():
    for seen in (observed(), observed(trial(0.1, {}))):
        assert [len(part) for part in seen.scored()] == [0, 0]
        assert [len(part) for part in seen.labelled()] == [0, 0]


def test_scores_that_are_none_are_left_out():
    assert scores_of(trial(0.1, {111: math.nan, 333: 0.5})) == {333: 0.5}
    assert scores_of(create_trial(value=0.7, params={"x": 0.1}, distributions=SPACE)) == {1000: 0.7}


def test_of_too_many_scores_the_best_and_the_newest_stay():
    scores = [float(number) for number in np.random.default_rng(0).permutation(1000)]
    seen = observed(*[trial(0.5, {111: score}) for score in scores])
    assert len(seen.scores) == MOST_SCORES
    assert set(range(800, 1000)) <= set(seen.scores)
    assert set(scores[-100:]) <= set(seen.scores)
