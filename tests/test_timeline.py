"""Which trial ran when on which slot, from the stints in the study."""

import optuna
import pytest
from make_sweep import SPACE, evaluation, open_study, stint_on

from search_spaces.space import parse_space
from tuner.endings import FAILED, FULL, INTERRUPTED, RUNNING, STOPPED
from tuner.results import Results
from tuner.study import StopReason, SweepStudy
from tuner.timeline import Timeline, timeline


def ran(
    study: SweepStudy, *, began: float, lasted: float, pid: int, node: str = "b", reason: StopReason | None = None
) -> int:
    number = study.ask().number
    step = 1000 if reason == "full budget" else 111
    study.report(number, step, evaluation(0.5, step), stint=stint_on(node, began=began, lasted=lasted, pid=pid))
    if reason:
        study.finish(number, reason)
    return number


def told(study: SweepStudy, confirm: SweepStudy | None = None) -> Timeline:
    found = timeline(Results.from_studies(study.optuna, confirm and confirm.optuna))
    assert found is not None
    return found


def test_a_stretch_a_stint_with_how_its_trial_ended() -> None:
    study = open_study()
    ran(study, began=1000, lasted=50, pid=1, reason="full budget")
    ran(study, began=1001, lasted=20, pid=2, reason="error")
    ran(study, began=1030, lasted=20, pid=2)
    found = told(study)
    assert [(s.number, s.lane, s.began, s.seconds, s.ending) for s in found.stretches] == [
        (0, 0, 0, 50, FULL),
        (1, 1, 1, 20, FAILED),
        (2, 1, 30, 20, RUNNING),
    ]
    assert found.lanes == (("b", 1), ("b", 2))
    assert found.pauses == ()


def test_lanes_stand_by_node_and_are_taken_over_by_later_processes() -> None:
    study = open_study()
    for pid, node, began in ((1, "node-10", 0), (2, "node-9", 1), (3, "node-9", 1), (4, "node-9", 30)):
        ran(study, began=began, lasted=20, pid=pid, node=node, reason="stopped at rung")
    found = told(study)
    assert found.lanes == (("node-9", 1), ("node-9", 2), ("node-10", 1))
    assert [s.lane for s in found.stretches] == [2, 0, 1, 0]


def test_time_in_which_nothing_ran_is_left_out_and_told() -> None:
    study = open_study()
    ran(study, began=0, lasted=100, pid=1, reason="stopped at rung")
    ran(study, began=110, lasted=100, pid=1, reason="stopped at rung")  # ten seconds between trials are none
    ran(study, began=7410, lasted=100, pid=2, reason="stopped at rung")
    found = told(study)
    width = 0.02 * 310
    assert [s.began for s in found.stretches] == pytest.approx([0, 110, 210 + width])
    (pause,) = found.pauses
    assert pause.seconds == 7200
    assert pause.at == pytest.approx(210 + width / 2)


def test_a_trial_taken_up_again_has_two_stretches() -> None:
    study = open_study()
    number = ran(study, began=0, lasted=10, pid=1)
    study.release([number])
    assert ran(study, began=20, lasted=10, pid=2, reason="stopped at rung") == number
    assert [(s.attempt, s.ending) for s in told(study).stretches] == [(1, INTERRUPTED), (2, STOPPED)]


def test_trials_of_which_no_report_came_are_counted() -> None:
    study = open_study()
    study.plan(4)
    assert timeline(Results.from_studies(study.optuna)) is None
    ran(study, began=0, lasted=10, pid=1)
    study.ask()
    assert told(study).untold == 1


def test_the_confirm_stage_goes_on_after_the_search() -> None:
    storage = optuna.storages.InMemoryStorage()
    study, confirm = open_study(storage), open_study(storage, name="confirm", space=parse_space(SPACE))
    ran(study, began=0, lasted=50, pid=1, reason="full budget")
    confirm.enqueue({}, of=0)
    ran(confirm, began=60, lasted=50, pid=1, reason="full budget")
    assert [(s.study, s.number, s.lane, s.began) for s in told(study, confirm).stretches] == [
        ("sweep", 0, 0, 0),
        ("confirm", 0, 0, 60),
    ]
