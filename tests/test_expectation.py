"""How long a sweep should take, against sums made by hand."""

import pytest

from tuner.expectation import (
    REPORT_SECONDS,
    START_SECONDS,
    SweepShape,
    TrialCost,
    fitting_maximum,
    likely_seconds,
)

COST = TrialCost(seconds_per_unit=1e-6, evaluation_seconds=2.0)
FULL = 100.0 + 3 * (2.0 + REPORT_SECONDS)
"""Seconds of a trial with a full budget of 1e8 voxels that nothing stops: training, then three evaluations."""


def test_one_trial_goes_all_the_way() -> None:
    assert likely_seconds(SweepShape(trials=1, slots=1), [COST], 1e8) == pytest.approx(START_SECONDS + FULL)


@pytest.mark.parametrize(("trials", "slots", "rounds"), [(6, 1, 6), (6, 2, 3), (7, 2, 4), (3, 8, 1)])
def test_trials_share_the_slots(trials: int, slots: int, rounds: int) -> None:
    shape = SweepShape(trials=trials, slots=slots, stop_early=False)
    assert likely_seconds(shape, [COST], 1e8) == pytest.approx(START_SECONDS + rounds * FULL)


def test_the_first_cost_is_the_first_trials() -> None:
    slow = TrialCost(seconds_per_unit=1e-5, evaluation_seconds=2.0)
    one = SweepShape(trials=1, slots=1)
    assert likely_seconds(one, [slow, COST], 1e8) == pytest.approx(START_SECONDS + FULL + 900)
    assert likely_seconds(one, [COST, slow], 1e8) == pytest.approx(START_SECONDS + FULL)


def test_stopping_early_saves_what_asha_saves() -> None:
    """Of many trials a third goes on at each rung: 1/9 + 1/3 x 2/9 + 1/9 x 2/3 = 7/27 of the full budget each.

    In sweeps of 30 more go on, at first because little was seen before them, and later because trials get better.
    """
    free = TrialCost(seconds_per_unit=1e-6, evaluation_seconds=-REPORT_SECONDS)
    shape = SweepShape(trials=30, slots=1)
    share = (likely_seconds(shape, [free], 1e8) - START_SECONDS) / (30 * 100)
    assert 7 / 27 < share < 0.45


def test_maximum_that_fits() -> None:
    costs = [COST, TrialCost(seconds_per_unit=3e-6, evaluation_seconds=4.0)]
    shape = SweepShape(trials=16, slots=2)
    maximum = fitting_maximum(shape, costs, 600)
    assert likely_seconds(shape, costs, maximum) == pytest.approx(600, rel=0.01)
    assert fitting_maximum(shape, costs, 1200) > 1.9 * maximum


def test_nothing_fits_where_evaluations_take_longer() -> None:
    slow = TrialCost(seconds_per_unit=1e-6, evaluation_seconds=100)
    assert fitting_maximum(SweepShape(trials=16, slots=2), [slow], 600) == 0
