"""What the slots' time went into is told from the stints in the study."""

from dataclasses import replace

import pytest
from make_sweep import evaluation, open_study, stint_on

from tuner.report_time import time_line, time_spent
from tuner.results import Results
from tuner.study import SweepStudy
from tuner.utilisation import stints, utilisation


def run(study: SweepStudy, *, training: float, evaluating: float, **stint: float) -> int:
    number = study.ask().number
    found = replace(evaluation(0.5, 1000), training_seconds=training, evaluation_seconds=evaluating)
    study.report(number, 1000, found, stint=stint_on(**stint))
    study.finish(number, "full budget")
    return number


@pytest.fixture
def study() -> SweepStudy:
    """Slot 7: trials at 0 to 50 and 52 to 102 s; slot 8: one at 1 to 61 s."""
    study = open_study()
    run(study, training=35, evaluating=5, pid=7, began=1000, lasted=50)
    run(study, training=50, evaluating=5, pid=8, began=1001, lasted=60, advance=55.0)
    run(study, training=35, evaluating=5, pid=7, began=1052, lasted=50, start=2.0)
    return study


def test_stints_stand_by_slot_in_the_order_in_which_they_began(study: SweepStudy) -> None:
    frame = stints(study.trials())
    assert list(frame["number"]) == [0, 1, 2]
    assert list(frame["slot"]) == [0, 1, 0]
    assert frame["turnaround"][:2].isna().all()
    assert frame["turnaround"][2] == pytest.approx(1052 + 2 - 1050)


def test_shares_are_of_the_slots_time_without_the_tail(study: SweepStudy) -> None:
    found = utilisation(study.trials())
    assert found is not None
    assert found.slots == 2
    assert found.seconds == pytest.approx(102 + 60)
    assert found.tail_seconds == pytest.approx(1102 - 1061)
    assert found.training == pytest.approx(120 / 162)
    assert found.evaluation == pytest.approx(15 / 162)
    assert found.start == pytest.approx((1 + 1 + 2) / 162)
    assert found.checkpoint == pytest.approx(1.5 / 162)
    # 50 - 41.5 and 60 - 56.5 and 50 - 42.5 for the driver's word, and 2 between two trials.
    assert found.waiting == pytest.approx((8.5 + 3.5 + 7.5 + 2) / 162)
    assert found.turnaround_seconds == pytest.approx(4)
    assert found.busy == pytest.approx(135 / 162)


def test_a_resumed_sweep_counts_no_time_between_its_drivers(study: SweepStudy) -> None:
    run(study, training=35, evaluating=5, pid=9, began=9000, lasted=50)
    found = utilisation(study.trials())
    assert found is not None
    assert found.slots == 2  # the next driver's process takes one's place
    assert found.seconds == pytest.approx(102 + 60 + 50)
    assert found.tail_seconds == pytest.approx(41)


def test_a_trial_taken_up_again_has_two_stints() -> None:
    study = open_study()
    number = study.ask().number
    study.report(number, 111, evaluation(0.3, 111), stint=stint_on(began=0, lasted=10))
    study.report(number, 333, evaluation(0.4, 333), stint=stint_on(began=0, lasted=20))
    study.release([number])
    assert study.ask().number == number
    study.report(number, 1000, evaluation(0.5, 1000), stint=stint_on(pid=8, began=100, lasted=30))
    frame = stints(study.trials())
    assert list(frame["ended"]) == [20, 130]
    assert list(frame["slot"]) == [0, 1]


def test_nothing_is_told_before_a_trial_has_reported() -> None:
    study = open_study()
    study.ask()
    assert utilisation(study.trials()) is None


def test_a_line_and_a_section_say_it(study: SweepStudy) -> None:
    results = Results.from_studies(study.optuna)
    line = "2 slots: 74% of their time in training, 9% in evaluation; "
    assert time_line(results) == line + "4 s from one trial's end to the next one's first step (median)"
    (rows,) = time_spent(results)
    assert "| training | 74.1% |" in rows
    assert "| slots' time | 2 min 42 s |" in rows
    assert "| and after the last trial of each, while others ran on | 41 s |" in rows
