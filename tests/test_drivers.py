"""Which running trials have no driver any more, as each of several drivers sees it."""

import optuna
import pytest
from optuna.trial import TrialState

from tuner import drivers
from tuner.drivers import Abandoned, registered

DEAD = None  # what a driver leaves behind when it goes


@pytest.fixture
def study():
    """Trial 0 of a driver that left, 1 of a living one, 2 of nobody yet."""
    study = optuna.create_study()
    for driver in ("gone", "b", None):
        study.ask().set_user_attr("driver", driver)
    study.set_user_attr("driver:gone", DEAD)
    with registered(study, "b"):
        yield study


def running(study):
    return study.get_trials(states=(TrialState.RUNNING,))


def test_a_dead_drivers_trials_are_abandoned(study):
    assert Abandoned(study, "b")(running(study)) == [0]


def test_only_the_first_living_driver_releases(study):
    with registered(study, "a"):
        assert Abandoned(study, "b")(running(study)) == []
        assert Abandoned(study, "a")(running(study)) == [0]
    assert Abandoned(study, "b")(running(study)) == [0]


def test_a_trial_without_a_driver_has_time_to_get_one(study, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(drivers.time, "monotonic", lambda: now)
    abandoned = Abandoned(study, "b")
    assert abandoned(running(study)) == [0]
    now += 89
    assert abandoned(running(study)) == [0]
    now += 2
    assert abandoned(running(study)) == [2, 0]
    study.tell(2, 0.5)
    now += 1
    assert abandoned(running(study)) == [0]
