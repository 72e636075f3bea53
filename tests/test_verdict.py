"""What becomes of a trial that has reported."""

from dataclasses import replace
from pathlib import Path

import pytest
from make_sweep import RUNGS, evaluation
from make_work import toy_work
from optuna.storages import InMemoryStorage

from search_spaces.space import parse_space
from tuner.checkpoints import MODEL, state_name
from tuner.config import Objective
from tuner.directory import SweepDirectory
from tuner.limits import Limits
from tuner.rungs import SuccessiveHalving
from tuner.study import SweepStudy
from tuner.work import Work


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """A search of which two trials reached every rung, the second with the lower Dice."""
    work = toy_work(tmp_path, rungs=SuccessiveHalving(RUNGS, 3))
    for score in (0.5, 0.4):
        number = work.study.ask().number
        for step in RUNGS:
            work.study.report(number, step, evaluation(score, step))
    return work


@pytest.mark.parametrize(
    ("number", "step", "verdict"),
    [
        (0, 111, None),
        (1, 111, "stopped at rung"),
        (1, 333, "stopped at rung"),
        (1, 200, None),  # no rung
        (1, 1000, "full budget"),  # nothing is left to save
    ],
)
def test_a_trial_ends_at_the_full_budget_or_at_a_rung(work: Work, number: int, step: int, verdict: str | None) -> None:
    assert work.verdict(number, step) == verdict


def test_without_rungs_all_go_on_to_the_full_budget(tmp_path: Path) -> None:
    work = toy_work(tmp_path, rungs=None)
    for score in (0.5, 0.4):
        work.study.report(work.study.ask().number, 111, evaluation(score, 111))
    assert [work.verdict(number, 111) for number in (0, 1)] == [None, None]


def test_a_trial_that_is_stopped_leaves_no_files(work: Work) -> None:
    for number in (0, 1):
        for name in (state_name(333), MODEL):
            work.trial_files.put(f"{work.checkpoints.folder('sweep', number, 1)}/{name}", Path.touch)
    work.end(1, "stopped at rung")
    assert work.checkpoints.trials("sweep") == [0]
    assert work.study.trials()[1].user_attrs["stop_reason"] == "stopped at rung"


def test_a_trials_log_ends_with_how_it_truly_ended(tmp_path: Path) -> None:
    objectives: tuple[Objective, ...] = ("dice", "peak_gib")
    space = parse_space({"width": {"int": [8, 16]}})
    study = SweepStudy.open(InMemoryStorage(), "sweep", space, objectives=objectives)
    work, log = toy_work(tmp_path, study=study), SweepDirectory(tmp_path).trial_log
    for number, reason in enumerate(("stopped at rung", "full budget")):
        study.report(study.ask().number, 1000, replace(evaluation(0.5, 1000), facts={}))
        work.end(number, reason)
    assert log("sweep", 0).read_text().endswith("trial 0: stopped at rung\n")
    told = "trial 1: error: search.objectives: the trainable reports no peak_gib\n"
    assert log("sweep", 1).read_text().endswith(told)


def test_a_search_is_over_once_a_limit_is_reached(work: Work) -> None:
    assert work.over() is None
    used = replace(work, limits=Limits(device_hours=0.01))  # each trial has trained for 100 s
    assert used.over() == "0.01 device-hours are used (search.device_hours)"


def test_a_run_has_what_its_trial_and_all_trials_are_given(tmp_path: Path) -> None:
    assert toy_work(tmp_path, data={"path": "d"}).run_of({"width": 8}) == ({"width": 8}, {"path": "d"})
    meant = toy_work(tmp_path, data={"path": "d", "fold": 0}, meaning=lambda own: ({"width": 4}, {"fold": own["fold"]}))
    assert meant.run_of({"fold": 2}) == ({"width": 4}, {"path": "d", "fold": 2})
