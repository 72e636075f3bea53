"""A slot that can run no trial ends the search, and costs none of the trials."""

from types import SimpleNamespace
from typing import Any

import pytest
from make_sweep import evaluation, open_study
from optuna.trial import TrialState

from tuner.errors import SlotError
from tuner.search import StudyScheduler, _of_user
from tuner.study import SweepStudy
from tuner.trial_report import TrialReport


class Record:
    """What is told of trials."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def left(self, number: int, why: str, written: str = "") -> None:
        self.told.append(f"{number}: {why}")


@pytest.fixture
def study() -> SweepStudy:
    return open_study()


def test_a_trial_that_no_slot_can_run_waits_for_the_resume(study: SweepStudy) -> None:
    number = study.ask().number
    study.report(number, 111, evaluation(0.5, 111))
    record = Record()
    work: Any = SimpleNamespace(study=study, record=record, sweep="toy")
    report = TrialReport(number=number, step=333, evaluation=None, failure="DamagedVolumesError: torn", unfit=True)
    with pytest.raises(SlotError, match=r"no trial can go on: DamagedVolumesError: torn; .*`voxtune resume toy`"):
        StudyScheduler(work)._goes_on(report)
    (trial,) = study.trials()
    assert trial.state == TrialState.WAITING
    assert trial.intermediate_values == {111: 0.5}
    assert record.told == ["0: goes on when the sweep is resumed: DamagedVolumesError: torn"]


def test_it_is_found_in_what_tune_makes_of_it() -> None:
    wrapped = RuntimeError("Traceback ...")
    wrapped.__cause__ = KeyError("x")
    wrapped.__cause__.__context__ = SlotError("no trial can go on")
    assert str(_of_user(wrapped)) == "no trial can go on"
    assert _of_user(RuntimeError("a bug")) is None
