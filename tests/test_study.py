"""The study: what stands in it after each step of a trial's life."""

from dataclasses import replace

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
from tuner.study import LOST, OVER, TIMED_OUT, SweepStudy, is_planned

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
    return open_storage(url, tmp_path / "study.journal", owner=True)


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
    assert study.release([0, 1]) == [0]
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
    with pytest.raises(StudyError, match=r"differing: space\.width\.int: was \[8, 32\], now \[8, 64\]"):
        SweepStudy.open(storage, "sweep", other)


def test_proposals_depend_on_seed_and_number_alone(tmp_path):
    """A driver that dies and comes back proposes what an undisturbed one would have."""

    def propose(folder: str, restart: bool) -> list[dict]:
        (tmp_path / folder).mkdir()
        proposals = []
        for number in range(12):
            if number == 0 or restart:
                storage = open_storage(None, tmp_path / folder / "study.journal", owner=True)
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


def test_optuna_own_reader_sees_the_study(tmp_path):
    storage = open_storage(None, tmp_path / "study.journal", owner=True)
    study = SweepStudy.open(storage, "sweep", SPACE)
    number = study.ask().number
    study.report(number, 1000, evaluation(0.8), {})
    study.finish(number, "full budget")
    loaded = optuna.load_study(study_name="sweep", storage=open_storage(None, tmp_path / "study.journal"))
    assert loaded.best_value == 0.8


def test_other_terms_are_refused_and_named(storage):
    SweepStudy.open(storage, "sweep", SPACE, terms={"budget": {"unit": "steps", "maximum": 900.0}})
    with pytest.raises(StudyError, match=r"differing: budget\.maximum: was 900\.0, now 1800\.0\. Put them back"):
        SweepStudy.open(storage, "sweep", SPACE, terms={"budget": {"unit": "steps", "maximum": 1800.0}})


def test_planned_trials_are_claimed_until_none_is_left(study):
    study.enqueue({"learning_rate": 1e-3, "width": 16, "patch_size": 32}, origin="default")
    study.plan(3)
    study.plan(3)
    assert [is_planned(trial) for trial in study.trials()] == [True, True, True]
    claimed = [study.claim() for _ in range(4)]
    assert [proposal and proposal.number for proposal in claimed] == [0, 1, 2, None]
    assert claimed[0].parameters["width"] == 16


def test_each_planned_trial_is_claimed_by_one_driver(storage, study):
    """Two drivers of one study, by turns: no trial twice, none left."""
    other = SweepStudy.open(storage, "sweep", SPACE, driver="other", sampler=sampler_factory(SearchConfig(), slots=2))
    study.plan(7)
    numbers = []
    while len(numbers) < 7:
        for driver in (study, other):
            if (proposal := driver.claim()) is not None:
                numbers.append(proposal.number)
    assert sorted(numbers) == list(range(7))
    assert study.claim() is None
    assert other.claim() is None
    assert [trial.user_attrs.get("driver") for trial in study.trials()] == [None, "other"] * 3 + [None]


def test_a_trial_that_another_driver_took_over_is_no_longer_ours(storage):
    mine, other = (SweepStudy.open(storage, "sweep", SPACE, driver=driver) for driver in ("mine", "other"))
    mine.plan(1)
    number = mine.claim().number
    assert mine.is_ours(number)
    assert [trial.number for trial in other.running_elsewhere()] == [number]
    assert mine.running_elsewhere() == []
    other.release([number])
    assert mine.trials()[0].user_attrs["driver"] is None
    assert not mine.is_ours(number)
    assert other.claim().number == number
    assert other.is_ours(number)
    assert not mine.is_ours(number)
    other.report(number, 1000, evaluation(0.5), {})
    other.finish(number, "full budget")
    assert not mine.is_ours(number)  # a report of it would be an error


def test_an_objective_that_the_trainable_does_not_report_is_an_error(storage):
    study = SweepStudy.open(storage, "front", SPACE, objectives=("dice", "peak_gib"))
    number = study.ask().number
    study.report(number, 1000, replace(evaluation(0.6), facts={}), {})
    study.finish(number, "full budget")
    assert study.trials()[0].state == TrialState.FAIL
    assert study.first_error() == "search.objectives: the trainable reports no peak_gib"


def test_interrupted_trials_come_before_planned_ones(study):
    study.plan(3)
    first = study.claim()
    assert first.number == 0
    study.release([0])
    assert not is_planned(study.trials()[0])
    assert study.claim().number == 0


def test_turned_away_trials_use_up_no_place(study):
    study.plan(2)
    study.finish(study.claim().number, "turned away", facts={"estimated_gib": 12.0, "memory_limit_gib": 8.0})
    study.plan(2)
    (away, *planned) = study.trials()
    assert (away.state, away.user_attrs["feasible"], away.constraints) == (TrialState.PRUNED, False, {"memory": 1.0})
    assert away.user_attrs["estimated_gib"] == 12.0
    assert [trial.state for trial in planned] == [TrialState.WAITING] * 2
    assert study.trials_left(2) == 2


def test_scores_at_a_rung_are_those_of_all_that_reached_it(study):
    for steps in ((111, 333), (111,), ()):
        number = study.ask().number
        for step in steps:
            study.report(number, step, evaluation(step / 1000 + number), {})
    assert study.scores_at(111) == {0: 0.111, 1: 1.111}
    assert study.scores_at(333) == {0: 0.333}


def test_several_objectives_have_a_value_each_and_curves_too(storage):
    study = SweepStudy.open(storage, "front", SPACE, objectives=("dice", "training_seconds", "peak_gib"))
    number = study.ask().number
    study.report(number, 111, evaluation(0.2), {})
    study.report(number, 1000, evaluation(0.6, training_seconds=9.0), {})
    study.finish(number, "full budget")
    (trial,) = study.trials()
    assert trial.values == [0.6, 9.0, 0.5]
    assert trial.intermediate_values == {111: 0.2, 1000: 0.6}
    assert [direction.name for direction in study.optuna.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]
    assert study.ranking() == [trial]


def test_a_lost_trial_waits_again_and_its_losses_are_counted(study):
    study.plan(1)
    number = study.claim().number
    assert (study.times(LOST, number), study.times(TIMED_OUT, number)) == (0, 0)
    study.lose(number)
    assert study.trials()[0].state == TrialState.WAITING
    assert study.claim().attempt == 2
    study.lose(number, timed_out=True)
    assert study.claim().attempt == 3
    assert (study.times(LOST, number), study.times(TIMED_OUT, number)) == (2, 1)


def test_a_trial_that_was_silent_too_often_is_fail(study):
    number = study.ask().number
    study.finish(number, "timed out", error="silent for 30 minutes", facts={"node": "a"})
    (trial,) = study.trials()
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["stop_reason"] == "timed out"
    assert trial.user_attrs["feasible"] is True
    assert trial.user_attrs["node"] == "a"
    assert trial.constraints == {"memory": 0.0}


def test_a_trial_is_not_ours_once_it_ended_was_released_or_was_given_up(study):
    for end in (lambda number: study.finish(number, "error"), lambda number: study.release([number]), study.give_up):
        number = study.ask().number
        assert list(study.asked) == [number]
        assert study.is_ours(number)  # one driver alone is never taken for dead
        end(number)
        assert study.asked == {}


def test_an_evaluation_is_kept_with_its_metrics_amounts_and_facts(study):
    number = study.ask().number
    study.report(number, 111, evaluation(0.25), {"node": "a"})
    (trial,) = study.trials()
    assert trial.user_attrs["evaluations"] == [
        {
            "step": 111,
            "score": 0.25,
            "budget_used": 10.0,
            "steps": 5,
            "training_seconds": 2.0,
            "evaluation_seconds": 0.5,
            "loss": 0.75,
        }
    ]
    assert (trial.user_attrs["device"], trial.user_attrs["node"]) == ("cpu", "a")


def test_a_stint_is_kept_once_as_it_was_last_told(study):
    number = study.ask().number
    first, second = {"began": 100.0, "ended": 110.0}, {"began": 200.0, "ended": 210.0}
    study.report(number, 111, evaluation(0.2), stint=first)
    study.report(number, 333, evaluation(0.3), stint={**first, "ended": 130.0})
    study.finish(number, "error", stint=second)
    assert study.trials()[0].user_attrs["stints"] == [{"began": 100.0, "ended": 130.0}, second]


def test_the_first_error_is_of_the_first_failed_trial_that_tells_one(study):
    assert study.first_error() is None
    for error in (None, "a bug", "another"):
        study.finish(study.ask().number, "error", error=error)
    assert study.first_error() == "a bug"


def test_equal_trials_rank_by_number(study):
    for _ in range(3):
        number = study.ask().number
        study.report(number, 1000, evaluation(0.5), {})
        study.finish(number, "full budget")
    assert [trial.number for trial in study.ranking()] == [0, 1, 2]


def test_why_a_search_is_over_is_said_and_taken_back(study):
    assert OVER not in study.optuna.user_attrs
    study.say_over(None)
    assert OVER not in study.optuna.user_attrs
    study.say_over("10 minutes are over")
    assert study.optuna.user_attrs[OVER] == "10 minutes are over"
    study.say_over(None)
    assert study.optuna.user_attrs[OVER] is None


def test_how_a_trial_truly_ended_is_told_back(storage, study):
    number = study.ask().number
    study.report(number, 1000, evaluation(0.6))
    assert study.finish(number, "full budget") == ("full budget", None)
    assert study.finish(study.ask().number, "error", error="a bug") == ("error", "a bug")


@pytest.mark.filterwarnings("error")
def test_what_optuna_calls_experimental_is_no_matter_of_the_user(storage):
    sampler = sampler_factory(SearchConfig(sampler="quasi-random"), slots=1)
    study = SweepStudy.open(storage, "sweep", SPACE, sampler=sampler)
    assert study.ask().number == 0


def test_a_sampler_sees_what_other_drivers_reported_meanwhile(storage):
    """Its list of trials is read anew for each proposal."""
    known = []

    class Counting(optuna.samplers.RandomSampler):
        def infer_relative_search_space(self, study, trial):
            known.append(len(study._get_trials(deepcopy=False, use_cache=True)))
            return {}

    drivers = [SweepStudy.open(storage, "sweep", SPACE, sampler=lambda number: Counting(number)) for _ in range(2)]
    for driver in (*drivers, *drivers):
        driver.ask()
    assert known == [1, 2, 3, 4]


def test_all_parameters_of_a_trial_are_those_proposed(study):
    proposal = study.ask()
    assert study.parameters(study.trials()[0]) == proposal.parameters
