"""Where a study stands: its trials by what they do, the best so far, and how long it may still take."""

import traceback
from datetime import datetime, timedelta

import pytest
from make_sweep import evaluation, open_study
from optuna.trial import FrozenTrial, TrialState, create_trial

from tuner.standing import Standing, failure
from tuner.time_left import expected_seconds_left

START = datetime(2026, 3, 1, 12)
RUNGS = (111, 333, 1000)


def test_trials_are_counted_by_what_they_do():
    study = open_study()
    study.plan(9)
    numbers = [study.claim().number for _ in range(5)]
    study.report(numbers[0], 1000, evaluation(0.8, 1000), {})
    study.finish(numbers[0], "full budget")
    study.finish(numbers[1], "error", error="a bug")
    study.finish(numbers[2], "turned away")
    study.report(numbers[3], 111, evaluation(0.3, 111), {})
    study.release([numbers[3]])
    study.plan(9)
    standing = Standing.of(study.trials())
    assert [trial.number for trial in standing.running] == [numbers[4]]
    assert [trial.number for trial in standing.interrupted] == [numbers[3]]
    assert [trial.number for trial in standing.ended] == numbers[:2]
    assert (standing.to_go, standing.turned_away) == (5, 1)
    assert standing.counts() == "1 running, 1 interrupted, 2 ended, 5 to go; 1 turned away: too large for memory"


def test_the_last_failure_is_told_by_the_line_that_says_what_it_was():
    study = open_study()
    assert Standing.of(study.trials()).failures() is None
    try:
        int("x")
    except ValueError:
        error = traceback.format_exc()
    for reason in (error, "the loss became nan\nmore of it", "x" * 1000):
        study.finish(study.ask().number, "error", error=reason)
    study.finish(study.ask().number, "out of memory", error="no error of ours")
    told = [failure(trial) for trial in study.trials()]
    assert told == [
        "ValueError: invalid literal for int() with base 10: 'x'",
        "the loss became nan",
        "x" * 200 + "…",
        None,
    ]
    failures = Standing.of(study.trials()[:2]).failures()
    assert failures == "2 failed, the last one trial 1: the loss became nan"


def test_without_a_number_of_trials_nothing_is_to_go_and_no_end_is_expected():
    study = open_study()
    study.ask()
    standing = Standing.of(study.trials(), endless=True)
    assert standing.counts() == "1 running, 0 ended"
    assert standing.seconds_left is None


def test_the_best_is_of_the_highest_step_reached():
    study = open_study()
    assert Standing.of(study.trials()).best is None
    first, second = study.ask().number, study.ask().number
    study.report(first, 111, evaluation(0.9, 111), {})
    study.report(second, 333, evaluation(0.5, 333), {})
    best = Standing.of(study.trials()).best
    assert (best.number, best.score, best.step) == (second, 0.5, 333)


def trial(
    number: int, *, started: float, step: int, pace: float, ended: bool, rungs: tuple[int, ...] = RUNGS
) -> FrozenTrial:
    """A trial of `pace` seconds a thousandth that reported at each rung up to `step`; it ended there, or runs on."""
    frozen = create_trial(
        state=TrialState.PRUNED if ended else TrialState.RUNNING,
        intermediate_values={rung: 0.5 for rung in rungs if rung <= step},
        user_attrs={
            "evaluations": [
                {"step": step, "training_seconds": 0.75 * step * pace, "evaluation_seconds": 0.25 * step * pace}
            ]
        }
        if step
        else {},
    )
    frozen.number = number
    frozen.datetime_start = START + timedelta(seconds=started)
    frozen.datetime_complete = frozen.datetime_start + timedelta(seconds=step * pace) if ended else None
    return frozen


def left(running: list[FrozenTrial], ended: list[FrozenTrial], *, waiting: int, at: float) -> float | None:
    return expected_seconds_left(running, ended, waiting=waiting, now=START + timedelta(seconds=at))


def test_no_end_is_expected_before_three_trials_ended():
    ended = [trial(number, started=0, step=1000, pace=1, ended=True, rungs=(1000,)) for number in range(3)]
    running = [trial(3, started=1000, step=0, pace=1, ended=False)]
    assert left(running, ended[:2], waiting=4, at=1000) is None
    assert left([], ended, waiting=4, at=1000) is None
    assert left(running, ended, waiting=4, at=1000) is not None


def test_without_early_stopping_it_is_the_rounds_that_are_left():
    """Two at a time, 1000 s each; 4 of 10 ended, two are 400 s on: 600 s, then two more rounds."""
    ended = [
        trial(number, started=1000 * (number // 2), step=1000, pace=1, ended=True, rungs=(1000,)) for number in range(4)
    ]
    running = [trial(number, started=2000, step=0, pace=1, ended=False) for number in (4, 5)]
    assert left(running, ended, waiting=4, at=2400) == pytest.approx(600 + 2 * 1000)


def test_under_early_stopping_trials_are_as_long_as_their_chances_say():
    """One at a time, 1 s a thousandth; four judged at 111, of which two went on; of those one stopped at 333.

    A trial is expected to take 111 + 1/2 * 222 + 1/2 * 1/2 * 667 s.
    """
    ended = [
        trial(0, started=0, step=1000, pace=1, ended=True),
        trial(1, started=1000, step=333, pace=1, ended=True),
        trial(2, started=1333, step=111, pace=1, ended=True),
        trial(3, started=1444, step=111, pace=1, ended=True),
    ]
    running = [trial(4, started=1555, step=0, pace=1, ended=False)]
    length = 111 + 222 / 2 + 667 / 4
    assert left(running, ended, waiting=10, at=1555) == pytest.approx(11 * length)
    assert left(running, ended, waiting=10, at=1555 + 50) == pytest.approx(11 * length - 50)


def test_a_slow_trial_at_the_end_is_waited_for_at_its_own_pace():
    ended = [trial(number, started=0, step=111, pace=1, ended=True) for number in range(3)]
    slow = trial(3, started=0, step=333, pace=5, ended=False)
    assert left([slow], ended, waiting=0, at=333 * 5 + 100) == pytest.approx(667 * 5 - 100)


def test_of_a_trial_that_is_late_nothing_is_expected_any_more():
    ended = [trial(number, started=0, step=1000, pace=1, ended=True, rungs=(1000,)) for number in range(3)]
    assert left([trial(3, started=1000, step=0, pace=1, ended=False)], ended, waiting=0, at=9000) is None


def test_a_slot_that_is_empty_for_a_moment_counts():
    """Two at a time: one has just ended, and its successor has not begun."""
    ended = [
        trial(number, started=1000 * (number // 2), step=1000, pace=1, ended=True, rungs=(1000,)) for number in range(3)
    ]
    running = [trial(3, started=1000, step=0, pace=1, ended=False)]
    assert left(running, ended, waiting=4, at=2000) == pytest.approx(4 * 1000 / 2)


def test_trials_that_fail_at_once_are_expected_to_go_on_failing():
    """Half of those that ended failed before they reported: a trial to come takes half as long, two at a time."""
    ended = [
        *(trial(number, started=0, step=1000, pace=1, ended=True, rungs=(1000,)) for number in range(2)),
        *(trial(number, started=1000, step=0, pace=1, ended=True) for number in (2, 3)),
    ]
    running = [trial(4, started=1000, step=0, pace=1, ended=False)]
    assert left(running, ended, waiting=5, at=1000) == pytest.approx((1000 + 5 * 1000 / 2) / 2)
