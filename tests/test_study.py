"""The study: what stands in it after each step of a trial's life."""

import optuna
import pytest
from optuna.trial import TrialState

from search_spaces.errors import SpaceError
from search_spaces.space import parse_space
from trainables.protocol import Evaluation
from tuner.config import SearchConfig
from tuner.errors import StudyError
from tuner.sampler import sampler_factory
from tuner.storage import open_storage
from tuner.study import SweepStudy

SPACE = parse_space(
    {
        "learning_rate": {"float": [1e-4, 1e-1], "log": True},
        "width": {"int": [8, 32], "step": 8},
        "patch_size": {"choice": [32, [40, 56, 40]]},
        "optimizer": "adam",
    }
)


def evaluation(score: float, **changes) -> Evaluation:
    values = {
        "score": score,
        "budget_used": 10.0,
        "steps": 5,
        "training_seconds": 2.0,
        "evaluation_seconds": 0.5,
        "metrics": {"loss": 1 - score},
        "cases": {"case_001": {"organ": score}},
        "facts": {"device": "cpu", "peak_gib": 0.5},
    }
    return Evaluation(**{**values, **changes})


@pytest.fixture(params=["journal", "sqlite"])
def storage(request, tmp_path):
    url = None if request.param == "journal" else f"sqlite:///{tmp_path}/study.db"
    return open_storage(url, tmp_path / "study.journal")


@pytest.fixture
def study(storage) -> SweepStudy:
    return SweepStudy.open(storage, "sweep", SPACE, seed=7, sampler=sampler_factory(SearchConfig(), slots=2))


def test_asked_trial_is_running_with_all_parameters_and_its_seed(study):
    proposal = study.ask()
    SPACE.validate(dict(proposal.parameters))
    assert proposal.parameters["optimizer"] == "adam"
    assert (proposal.number, proposal.seed, proposal.steps_done) == (0, 7, ())
    (trial,) = study.trials()
    assert trial.state == TrialState.RUNNING
    assert trial.user_attrs["seed"] == 7


def test_full_budget_is_complete_with_every_value(study):
    number = study.ask().number
    study.report(number, 333, evaluation(0.5), {"node": "a"})
    study.report(number, 1000, evaluation(0.8, budget_used=30.0), {"node": "a"})
    study.finish(number, "full budget")
    (trial,) = study.trials()
    assert trial.state == TrialState.COMPLETE
    assert trial.value == 0.8
    assert trial.intermediate_values == {333: 0.5, 1000: 0.8}
    assert [e["budget_used"] for e in trial.user_attrs["evaluations"]] == [10.0, 30.0]
    assert trial.user_attrs["cases"] == {"case_001": {"organ": 0.8}}
    assert trial.user_attrs["stop_reason"] == "full budget"
    assert trial.user_attrs["node"] == "a"
    assert trial.user_attrs["peak_gib"] == 0.5


def test_stopped_at_rung_is_pruned_and_keeps_its_last_value(study):
    number = study.ask().number
    study.report(number, 111, evaluation(0.3), {})
    study.finish(number, "stopped at rung")
    (trial,) = study.trials()
    assert trial.state == TrialState.PRUNED
    assert trial.value == 0.3
    assert trial.intermediate_values == {111: 0.3}


def test_out_of_memory_is_pruned_and_infeasible(study):
    number = study.ask().number
    study.finish(number, "out of memory", error="OutOfMemoryError: 3 GiB")
    (trial,) = study.trials()
    assert trial.state == TrialState.PRUNED
    assert trial.user_attrs["feasible"] is False
    assert trial.constraints == {"memory": 1.0}


def test_error_is_fail_with_its_text(study):
    number = study.ask().number
    study.finish(number, "error", error="NonFiniteLossError: at step 12")
    (trial,) = study.trials()
    assert trial.state == TrialState.FAIL
    assert study.first_error() == "NonFiniteLossError: at step 12"


def test_released_trial_is_taken_up_again_with_its_parameters_and_values(storage, study):
    first = study.ask()
    study.report(first.number, 111, evaluation(0.3), {})
    assert study.release() == [0]
    assert study.trials(TrialState.RUNNING) == []

    again = SweepStudy.open(storage, "sweep", SPACE, sampler=sampler_factory(SearchConfig(), slots=2))
    second = again.ask()
    assert second.number == first.number
    assert second.parameters == first.parameters
    assert second.seed == 7
    assert second.steps_done == (111,)
    again.report(second.number, 1000, evaluation(0.6), {})
    again.finish(second.number, "full budget")
    assert again.trials()[0].intermediate_values == {111: 0.3, 1000: 0.6}
    assert len(again.trials()[0].user_attrs["evaluations"]) == 2


def test_enqueued_parameters_come_first(study):
    default = {"learning_rate": 1e-3, "width": 16, "patch_size": "40x56x40"}
    study.enqueue(default, seed=3, of=12)
    proposal = study.ask()
    assert proposal.parameters == {**default, "optimizer": "adam"}
    assert proposal.seed == 3
    assert study.trials()[0].user_attrs["of"] == 12


def test_enqueuing_outside_the_space_says_which_parameter(study):
    with pytest.raises(SpaceError, match="width"):
        study.enqueue({"learning_rate": 1e-3, "width": 12, "patch_size": 32})
    assert study.trials() == []


def test_another_space_is_refused_by_parameter(storage, study):
    other = parse_space({**SPACE.to_mapping(), "width": {"int": [8, 64], "step": 8}})
    with pytest.raises(StudyError, match="differing: width"):
        SweepStudy.open(storage, "sweep", other)


def test_proposals_depend_on_seed_and_number_alone(tmp_path):
    """A driver that dies and comes back proposes what an undisturbed one would have."""

    def propose(folder: str, restart: bool) -> list[dict]:
        (tmp_path / folder).mkdir()
        proposals = []
        for number in range(12):
            if number == 0 or restart:
                storage = open_storage(None, tmp_path / folder / "study.journal")
                config = SearchConfig(startup_trials=4)
                study = SweepStudy.open(storage, "sweep", SPACE, sampler=sampler_factory(config, slots=1))
            proposal = study.ask()
            study.report(proposal.number, 1000, evaluation(1 / (1 + proposal.parameters["width"])), {})
            study.finish(proposal.number, "full budget")
            proposals.append(dict(proposal.parameters))
        return proposals

    undisturbed = propose("a", restart=False)
    assert undisturbed == propose("b", restart=True)
    assert len({tuple(p.values()) for p in undisturbed}) > 6


def test_ranking_is_of_complete_trials_best_first(study):
    for score in (0.5, 0.9, 0.7):
        number = study.ask().number
        study.report(number, 1000, evaluation(score), {})
        study.finish(number, "full budget")
    number = study.ask().number
    study.report(number, 111, evaluation(0.95), {})
    study.finish(number, "stopped at rung")
    assert [trial.value for trial in study.ranking()] == [0.9, 0.7, 0.5]
    assert study.trials_left(6) == 2


def test_unreachable_storage_is_a_user_error(tmp_path):
    with pytest.raises(StudyError, match=r"sqlite:////nowhere/study\.db can't be opened"):
        open_storage("sqlite:////nowhere/study.db", tmp_path / "x")


def test_optuna_own_reader_sees_the_study(tmp_path):
    storage = open_storage(None, tmp_path / "study.journal")
    study = SweepStudy.open(storage, "sweep", SPACE)
    number = study.ask().number
    study.report(number, 1000, evaluation(0.8), {})
    study.finish(number, "full budget")
    loaded = optuna.load_study(study_name="sweep", storage=open_storage(None, tmp_path / "study.journal"))
    assert loaded.best_value == 0.8


def test_trial_that_reported_the_full_budget_is_finished_though_its_driver_died(storage, study):
    number = study.ask().number
    study.report(number, 1000, evaluation(0.9), {})
    again = SweepStudy.open(storage, "sweep", SPACE)
    again.finish_reached(1000)
    (trial,) = again.trials()
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.9)
    assert trial.user_attrs["stop_reason"] == "full budget"
