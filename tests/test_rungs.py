"""Rungs and the rule by which trials go on."""

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


def test_first_trial_goes_on_and_a_worse_second_stops():
    rungs = SuccessiveHalving((111, 333, 1000), 3)
    assert rungs.goes_on(0, 111, 0.5)
    assert not rungs.goes_on(1, 111, 0.4)
    assert rungs.goes_on(2, 111, 0.6)


def test_a_third_of_many_goes_on():
    """Scores that come in random order: about a third of later ones is among the best third of those before."""
    import random

    rungs = SuccessiveHalving((111, 333, 1000), 3)
    scores = random.Random(0).sample(range(3000), 3000)
    late = [rungs.goes_on(number, 111, score) for number, score in enumerate(scores)][1000:]
    assert 0.30 < sum(late) / len(late) < 0.36


def test_exactly_the_best_third_counts():
    rungs = SuccessiveHalving((111, 1000), 3)
    for number, score in enumerate([1, 2, 3, 4, 5]):
        rungs.goes_on(number, 111, score)
    assert rungs.goes_on(5, 111, 4.5)  # second of six
    assert not rungs.goes_on(6, 111, 4.2)  # third of seven: two places


def test_top_rung_and_evaluations_between_rungs_never_stop():
    rungs = SuccessiveHalving((111, 1000), 3)
    rungs.goes_on(0, 111, 0.9)
    assert rungs.goes_on(1, 1000, 0.0)
    assert rungs.goes_on(1, 500, 0.0)


def test_refilled_rungs_judge_like_the_ones_before():
    before = SuccessiveHalving((111, 333, 1000), 3)
    before.goes_on(0, 111, 0.5)
    before.goes_on(1, 111, 0.7)
    after = SuccessiveHalving((111, 333, 1000), 3)
    after.refill(0, {111: 0.5, 333: 0.6})
    after.refill(1, {111: 0.7, 200: 0.7})
    for rungs in (before, after):
        assert not rungs.goes_on(2, 111, 0.6)
        assert rungs.goes_on(3, 111, 0.8)
    assert not after.goes_on(3, 333, 0.55)


def test_a_repeated_report_counts_once():
    rungs = SuccessiveHalving((111, 1000), 3)
    assert rungs.goes_on(0, 111, 0.5)
    assert rungs.goes_on(0, 111, 0.5)
    assert not rungs.goes_on(1, 111, 0.4)
