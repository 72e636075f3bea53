"""The model of a search on a cluster, against schedules worked out by hand."""

import numpy as np
import pytest

from tuner.cluster_model import Modelled, Observed, Overheads, TrialTimes, fit_overheads, list_schedule, simulate
from tuner.rungs import SuccessiveHalving, rung_steps

RUNGS = SuccessiveHalving(rung_steps(1 / 9, 3), 3)


def trial(*seconds: float, score: float = 0.5) -> TrialTimes:
    return TrialTimes(seconds=seconds, scores=(score,) * len(seconds))


def run(*trials: TrialTimes, slots: int = 1, rungs: SuccessiveHalving | None = None, **overheads: float) -> Modelled:
    return simulate(trials, slots=slots, overheads=Overheads(**overheads), rungs=rungs)


def test_without_overhead_it_is_the_list_schedule() -> None:
    rng = np.random.default_rng(0)
    durations = rng.lognormal(3, 1, 100)
    for slots in (1, 3, 32, 200):
        modelled = run(*(trial(duration) for duration in durations), slots=slots)
        assert modelled.seconds == pytest.approx(list_schedule(durations, slots))
        assert sum(modelled.durations) == pytest.approx(durations.sum())
        assert modelled.driver_seconds == 0


def test_the_list_schedule_by_hand() -> None:
    assert list_schedule([5, 4, 3, 2, 1], 2) == 8  # 5 and 2, then 1; beside 4 and 3
    assert list_schedule([5, 4, 3, 2, 1], 1) == 15
    assert list_schedule([5, 4, 3], 10) == 5
    assert run(*(trial(seconds) for seconds in (5, 4, 3, 2, 1)), slots=2).tail_seconds == 1


def test_each_overhead_counts_where_it_arises() -> None:
    two = (trial(10, 10), trial(10, 10))
    assert run(*two).seconds == 40
    assert run(*two, start=3).seconds == 43
    assert run(*two, between=1).seconds == 42
    assert run(*two, report=0.5).seconds == 42  # four reports
    assert run(*two, proposal=2).seconds == 44
    assert run(*two, proposal=2, report=0.5).driver_seconds == 6
    assert run(*two, proposal=2, report=0.5).driver_busy == pytest.approx(6 / 46)


def test_the_driver_answers_one_after_another() -> None:
    # All four ask at once: they begin at 1, 2, 3 and 4; each reports when it is done, and no two at once.
    assert run(*(trial(10) for _ in range(4)), slots=4, proposal=1).seconds == 14
    # All four report at 10: the last one is heard at 14.
    assert run(*(trial(10) for _ in range(4)), slots=4, report=1).seconds == 14


def test_with_many_slots_the_driver_is_what_all_wait_for() -> None:
    trials = [trial(10) for _ in range(1000)]
    few, many = (run(*trials, slots=slots, proposal=0.05, report=0.05) for slots in (10, 1000))
    assert few.driver_busy < 0.11
    assert few.busy > 0.95
    assert many.driver_busy > 0.9
    assert many.seconds == pytest.approx(100)  # 1000 trials of 0.1 s of the driver each


def test_trials_are_stopped_by_the_sweep_s_own_rule() -> None:
    # At a rung of three only the best goes on; the first always does.
    scores = (0.5, 0.4, 0.9, 0.3)
    modelled = run(*(trial(1, 2, 6, score=score) for score in scores), rungs=RUNGS)
    assert modelled.durations == (9, 1, 9, 1)
    assert modelled.seconds == 20


@pytest.mark.parametrize("seconds", [(), (1.0, -1.0)])
def test_a_trial_that_makes_no_sense(seconds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="a trial needs a time"):
        trial(*seconds)


def test_it_is_fitted_to_where_the_time_went() -> None:
    # 4 trials of 10 s one after another, 3 answers of the driver each at 0.1 s, and 0.5 s between.
    search = Observed(slots=1, durations=(10.0,) * 4, answers=12, driver_seconds=1.2, seconds=43.2)
    fitted = fit_overheads([search])
    assert (fitted.report, fitted.proposal) == (pytest.approx(0.1), pytest.approx(0.1))
    assert fitted.between == pytest.approx(0.5)


def test_what_the_driver_takes_in_any_case_is_no_answer_s() -> None:
    # 10 ms for each of 100 answers, and 3 % of the time.
    searches = [
        Observed(
            slots=slots, durations=(seconds,) * slots, answers=100, driver_seconds=1 + 0.03 * seconds, seconds=seconds
        )
        for slots, seconds in ((1, 400.0), (2, 200.0), (4, 100.0))
    ]
    assert fit_overheads(searches).report == pytest.approx(0.01)


def test_the_fit_gives_a_simulated_search_again() -> None:
    overheads = Overheads(report=0.02, proposal=0.02, between=0.3)
    trials = [trial(5, 10, 30), trial(4, 8, 24), trial(6, 12, 36)] * 10
    searches = []
    for slots in (1, 2, 4):
        found = simulate(trials, slots=slots, overheads=overheads)
        driver = found.driver_seconds
        searches.append(
            Observed(slots=slots, seconds=found.seconds, durations=found.durations, answers=120, driver_seconds=driver)
        )
    fitted = fit_overheads(searches)
    assert fitted.report == pytest.approx(0.02)
    assert fitted.between == pytest.approx(0.3, abs=0.02)
