"""What ends a search before all its trials."""

import optuna
import pytest

from search_spaces.space import parse_space
from trainables.protocol import Evaluation
from tuner import limits
from tuner.limits import SEARCHED_SECONDS, Limits, SearchClock
from tuner.study import SweepStudy


class Time:
    def __init__(self) -> None:
        self.now = 5000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch):
    time = Time()
    monkeypatch.setattr(limits, "time", time)
    return time


@pytest.fixture
def study():
    space = parse_space({"learning_rate": {"float": [1e-4, 1e-1], "log": True}})
    return SweepStudy.open(optuna.storages.InMemoryStorage(), "sweep", space)


def train(study: SweepStudy, training_seconds: float, evaluation_seconds: float) -> None:
    found = Evaluation(
        score=0.5,
        budget_used=1,
        steps=1,
        training_seconds=training_seconds,
        evaluation_seconds=evaluation_seconds,
    )
    study.report(study.ask().number, 333, found, {})


def test_no_limits_never_end_a_search(study):
    assert Limits().reached(study) is None


def test_minutes(study, time):
    search = Limits(minutes=2, clock=SearchClock(study, keeps=True))
    time.now += 119
    assert search.reached(study) is None
    time.now += 1
    assert search.reached(study) == "2 minutes are over (search.minutes)"


def test_minutes_go_on_where_a_killed_driver_was(study, time):
    first = Limits(minutes=2, clock=SearchClock(study, keeps=True))
    time.now += 95
    assert first.reached(study) is None  # asked, it saves the time; and then it is killed
    time.now += 4000
    second = Limits(minutes=2, clock=SearchClock(study, keeps=True))
    time.now += 24
    assert second.reached(study) is None
    time.now += 1
    assert second.reached(study) == "2 minutes are over (search.minutes)"


def test_a_driver_that_joins_ends_with_the_first_and_keeps_no_time(study, time):
    first = SearchClock(study, keeps=True)
    time.now += 60
    first.save()
    joined = SearchClock(study, keeps=False)
    time.now += 30
    assert joined.seconds() == 60
    first.save()
    assert joined.seconds() == 90
    time.now += 100  # the first one is dead
    assert joined.seconds() == 130
    joined.save()
    assert study.optuna.user_attrs[SEARCHED_SECONDS] == 90


def test_device_hours_are_those_of_all_trials_times_their_devices(study):
    train(study, 1700, 100)
    train(study, 1600, 200)
    assert Limits(device_hours=2.1, devices_per_trial=2).reached(study) is None
    assert Limits(device_hours=2, devices_per_trial=2).reached(study) == (
        "2 device-hours are used (search.device_hours)"
    )


def test_little_to_gain(study):
    assert Limits(little_to_gain=lambda study: False).reached(study) is None
    assert Limits(little_to_gain=lambda study: True).reached(study) == (
        "more trials are expected to gain little (search.terminate)"
    )
