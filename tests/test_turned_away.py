"""Configurations that can't fit are never started, use up no place, are counted, and end the search if too many."""

import io

import pytest
from make_work import toy_work
from ray.tune.search import Searcher
from rich.console import Console

from tuner.assignment import ASSIGNMENT
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.drive import Drive
from tuner.errors import SweepFailed
from tuner.plan_trials import plan_trials
from tuner.search import StudySearcher
from tuner.standing import Standing
from tuner.study import was_turned_away
from tuner.sweep import run_sweep
from tuner.view import View
from tuner.work import TooLarge, Work

TRIALS = 10


def work(tmp_path, **settings) -> Work:
    """A search of which those with the larger of two batch sizes don't fit: half of the space."""
    return toy_work(
        tmp_path,
        trials=TRIALS,
        too_large=lambda parameters: (
            TooLarge(estimated_gib=9.0, memory_limit_gib=8.0) if parameters["batch_size"] == 4 else None
        ),
        **settings,
    )


def started(of: Work) -> list[int]:
    """The batch sizes of the trials that the searcher hands out until it has no more."""
    of.study.plan(TRIALS)
    searcher, batches = StudySearcher(of), []
    while (config := searcher.suggest("trial")) != Searcher.FINISHED:
        assignment = config[ASSIGNMENT]
        of.study.finish(assignment.number, "out of memory")  # how it ends is of no account here
        batches.append(assignment.parameters["batch_size"])
    return batches


def test_others_are_started_in_their_place(tmp_path):
    search = work(tmp_path)
    assert started(search) == [2] * TRIALS
    away = [trial for trial in search.study.trials() if was_turned_away(trial)]
    assert len(away) >= 3
    assert {(trial.params["batch_size"], trial.user_attrs["estimated_gib"]) for trial in away} == {(4, 9.0)}
    assert search.study.trials_left(TRIALS) == 0


def test_on_a_grid_nothing_takes_their_place(tmp_path):
    search = work(tmp_path, replaces_turned_away=False)
    batches = started(search)
    assert len(batches) == TRIALS - sum(map(was_turned_away, search.study.trials())) < TRIALS


def test_too_many_end_the_search(tmp_path):
    search = work(tmp_path, most_turned_away=2)
    assert len(started(search)) < TRIALS
    assert sum(map(was_turned_away, search.study.trials())) == 3
    assert search.over() == (
        "3 configurations were turned away because they can't fit in memory; narrow the space, or raise "
        "resources.memory_limit_gib or search.turned_away"
    )


TOY = {
    "name": "toy",
    "trainable": "trainables.toy:ToyRun",
    "space": {"learning_rate": {"float": [1e-5, 1e-1], "log": True}, "batch_size": {"choice": [1, 2, 4, 8]}},
    "default": {"learning_rate": 1e-3, "batch_size": 1},
    "budget": {"unit": "steps", "maximum": 900},
    "resources": {"memory_limit_gib": 0.9},  # 128 x 128 x 128 voxels, the toy's patch, take 0.5 GiB each
    "confirm": {"top": 0},
}


def test_on_a_grid_nothing_takes_their_place_when_it_is_resumed_either(tmp_path):
    """Four points were asked for and two are there: none is to go once one has ended and one can't fit."""
    search = {"trials": 4, "sampler": "grid"}
    space = {"batch_size": {"choice": [1, 2]}}
    config = SweepConfig.model_validate({**TOY, "space": space, "default": {"batch_size": 1}, "search": search})
    study = Drive(config, SweepDirectory.create(tmp_path / "toy"), None, View(quiet=True)).study()
    assert plan_trials(study, config, (), joins=False) == 2
    assert Standing.of(study.trials()).to_go == 2
    study.finish(study.ask().number, "turned away")
    study.finish(study.ask().number, "error", error="a bug")
    assert plan_trials(study, config, (), joins=False) == 1
    standing = Standing.of(study.trials())
    assert (len(study.trials()), standing.to_go, standing.turned_away) == (2, 0, 1)


@pytest.mark.ray
@pytest.mark.slow
def test_a_sweep_starts_as_many_as_asked_for_and_reports_the_others(tmp_path, running_ray):
    config = SweepConfig.model_validate({**TOY, "search": {"trials": 6, "sampler": "random"}})
    results = run_sweep(config, runs=tmp_path, address=running_ray)

    assert len(results.trials) == 6
    assert set(results.trials["batch_size"]) == {1}
    assert "out of memory" not in set(results.trials["stop_reason"])
    away = results.turned_away
    assert len(away) >= 3
    assert (away["estimated_gib"] == away["batch_size"] / 2).all()
    report = (tmp_path / "toy" / "report" / "report.md").read_text()
    assert f"{len(away)} configurations were turned away before starting" in report


@pytest.mark.ray
@pytest.mark.slow
def test_a_sweep_of_which_nothing_fits_says_so(tmp_path, running_ray):
    changes = {"search": {"trials": 40, "sampler": "random", "turned_away": 4}, "resources": {"memory_limit_gib": 0.1}}
    told = io.StringIO()
    view = View(Console(file=told, width=200))
    with pytest.raises(SweepFailed, match=r"^no trial gave a result; 5 configurations were turned away because they"):
        run_sweep(SweepConfig.model_validate({**TOY, **changes}), runs=tmp_path, address=running_ray, view=view)
    assert "The search ended: 5 configurations were turned away because they can't fit in memory" in told.getvalue()
