"""Rungs and the rule by which trials go on."""

import random

import pytest

from tuner.rungs import SuccessiveHalving, rung_steps


@pytest.mark.parametrize(
    ("first", "reduction", "steps"),
    [
        (1 / 9, 3, (111, 333, 1000)),
        (1 / 243, 3, (4, 12, 37, 111, 333, 1000)),  # Ray's ASHA loses the top rung of this one
        (1 / 1000, 10, (1, 10, 100, 1000)),
        (1, 3, (1000,)),
        (0.12, 3, (333, 1000)),  # a first rung between two: the one above it
        (1 / 4, 2, (250, 500, 1000)),
    ],
)
def test_rungs_are_divided_down_from_the_full_budget(first, reduction, steps):
    assert rung_steps(first, reduction) == steps


def test_rungs_never_reach_zero():
    assert rung_steps(1e-9, 10) == (1, 10, 100, 1000)


@pytest.mark.parametrize(("first", "reduction"), [(0, 3), (1.5, 3), (0.5, 1)])
def test_rungs_that_can_not_be_are_a_bug(first, reduction):
    with pytest.raises(AssertionError):
        rung_steps(first, reduction)


HALVING = SuccessiveHalving((111, 333, 1000), 3)


def goes_on_one_by_one(scores):
    """Whether each trial goes on, judged when it arrives."""
    seen = {}
    for number, score in enumerate(scores):
        seen[number] = score
        yield HALVING.goes_on(number, seen)


def test_first_trial_goes_on_and_a_worse_second_stops():
    assert list(goes_on_one_by_one([0.5, 0.4, 0.6])) == [True, False, True]


def test_a_third_of_many_goes_on():
    """Scores that come in random order: about a third of later ones is among the best third of those before."""
    scores = random.Random(0).sample(range(3000), 3000)
    late = list(goes_on_one_by_one(scores))[1000:]
    assert 0.30 < sum(late) / len(late) < 0.36


def test_exactly_the_best_third_counts():
    five = dict(enumerate([1.0, 2.0, 3.0, 4.0, 5.0]))
    six = {**five, 5: 4.5}
    assert HALVING.goes_on(5, six)  # second of six: two places
    assert not HALVING.goes_on(6, {**six, 6: 4.2})  # third of seven: two places


def test_equal_scores_share_a_place():
    assert HALVING.goes_on(1, {0: 0.5, 1: 0.5})


@pytest.mark.parametrize(("step", "judged"), [(111, True), (333, True), (1000, False), (500, False)])
def test_trials_are_compared_at_rungs_below_the_top(step, judged):
    assert HALVING.judges(step) is judged
