"""The seconds that a run has spent."""

import time

import pytest

from trainables.spent import Spent


def test_each_kind_is_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((10.0, 12.0, 20.0, 20.5, 30.0, 30.25))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    spent = Spent(training=1.0)
    for _ in range(2):
        with spent.on("training"):
            pass
    with spent.on("data"):
        pass
    assert (spent.training, spent.data, spent.evaluation) == (3.5, 0.25, 0.0)


def test_what_ended_by_an_error_is_not_counted() -> None:
    spent = Spent()
    with pytest.raises(ZeroDivisionError), spent.on("training"):
        raise ZeroDivisionError
    assert spent.training == 0


def test_a_run_that_goes_on_goes_on_counting() -> None:
    before = Spent(training=5.0, evaluation=2.0, data=1.0, exchange=0.5)
    spent = Spent()
    spent.load_state_dict(before.state_dict())
    assert spent == before
    spent.load_state_dict({"training_seconds": 3.0, "evaluation_seconds": 1.0})  # of an earlier version
    assert spent == Spent(training=3.0, evaluation=1.0)
