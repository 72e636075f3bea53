"""What a new sweep takes from an earlier one."""

import pytest
from make_sweep import DEFAULT, evaluation, open_study, sweep_directory

from search_spaces.space import SearchSpace, parse_space
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.errors import StudyError
from tuner.storage import open_storage
from tuner.sweep import run_sweep
from tuner.warm_start import best_of_earlier

SPACE = {
    "learning_rate": {"float": [1e-4, 1e-1], "log": True},
    "batch_size": {"choice": [1, 2]},
    "patch_size": {"choice": [32, 48]},
    "loss": {"choice": ["dice", "dice_ce"]},
    "optimizer": "adamw",
}

TOY = {
    "name": "next",
    "trainable": "trainables.toy:ToyRun",
    "space": {"learning_rate": SPACE["learning_rate"], "batch_size": SPACE["batch_size"]},
    "default": {"learning_rate": 1e-3, "batch_size": 1},
    "budget": {"unit": "steps", "maximum": 900},
}


@pytest.fixture
def earlier(tmp_path) -> SweepDirectory:
    """Five trials: 2 and 0 reached the full budget, 3 and 1 did not, 4 failed."""
    directory = sweep_directory(tmp_path / "heart")
    study = open_study(open_storage(None, directory.journal, owner=True), space=parse_space(SPACE))
    for number, (step, score) in enumerate([(1000, 0.7), (111, 0.3), (1000, 0.8), (333, 0.9), (111, 0.95)]):
        study.enqueue({**DEFAULT, "learning_rate": 10.0 ** -(number % 4 + 1), "batch_size": 1 + number % 2})
        assert study.ask().number == number
        study.report(number, step, evaluation(score, step), {})
        study.finish(number, {1000: "full budget"}.get(step, "error" if number == 4 else "stopped at rung"))
    return directory


def space(**changes) -> SearchSpace:
    return parse_space({**SPACE, **changes})


def test_the_best_by_budget_and_dice(earlier):
    found = best_of_earlier(earlier, space())
    assert list(found.trials) == [2, 0, 3]
    assert found.trials[2] == {**DEFAULT, "learning_rate": 1e-3, "batch_size": 1}  # what is fixed is here too
    assert str(found) == "From heart: its trials 2, 0, 3 are tried first"


def test_what_the_space_does_not_hold_is_left_to_the_sampler_and_told(earlier):
    new = {name: form for name, form in SPACE.items() if name not in ("loss", "optimizer")}
    new |= {"learning_rate": {"float": [1e-3, 1e-1], "log": True}, "patch_size": 48, "width": {"int": [8, 32]}}
    found = best_of_earlier(earlier, parse_space(new))
    assert found.trials == {
        2: {"learning_rate": 1e-3, "batch_size": 1},
        0: {"learning_rate": 1e-1, "batch_size": 1},
        3: {"batch_size": 2},
    }
    assert str(found) == (
        "From heart: its trials 2, 0, 3 are tried first; left out: optimizer is not in this space; patch_size is 48 "
        "here, was 32; loss is not in this space; learning_rate: 0.0001 is below the lower bound 0.001"
    )


def test_their_missing_parameters_come_from_the_sampler(earlier):
    new = space(width={"int": [8, 32]})
    study = open_study(space=new)
    for number, parameters in best_of_earlier(earlier, new).trials.items():
        study.enqueue(parameters, origin=f"heart:{number}")
    first = study.claim()
    assert first.parameters["learning_rate"] == 1e-3
    assert 8 <= first.parameters["width"] <= 32
    assert study.trials()[0].user_attrs["origin"] == "heart:2"


def test_a_sweep_that_shares_nothing_is_refused(earlier):
    with pytest.raises(
        StudyError, match=r"heart has nothing for this space: its trials have .*; this one searches width"
    ):
        best_of_earlier(earlier, parse_space({"width": {"int": [8, 32]}}))


def test_a_sweep_without_scores_is_refused(tmp_path):
    directory = sweep_directory(tmp_path / "heart")
    open_study(open_storage(None, directory.journal, owner=True)).plan(3)
    with pytest.raises(StudyError, match=r"^--from: sweep .*heart has no trial with a score yet"):
        best_of_earlier(directory, space())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"search": {"trials": 4}},
            "--from: 4 trials would come first, .* leaves none for the search; search.trials is 4",
        ),
        ({"search": {"sampler": "grid"}, "space": {"batch_size": {"choice": [1, 2]}}}, r"--from: a grid"),
    ],
)
def test_refused_before_anything_is_made(tmp_path, earlier, changes, message):
    toy = TOY | ({"default": {"batch_size": 1}} if "space" in changes else {})
    with pytest.raises(StudyError, match=message):
        run_sweep(SweepConfig.model_validate({**toy, **changes}), runs=tmp_path, earlier=[earlier])
    assert not (tmp_path / "next").exists()


def test_a_default_alone_is_no_search(tmp_path):
    config = SweepConfig.model_validate({**TOY, "search": {"trials": 1}})
    with pytest.raises(StudyError, match=r"^the default configuration \(default\) comes first, .* search.trials is 1$"):
        run_sweep(config, runs=tmp_path)
    assert not (tmp_path / "next").exists()
