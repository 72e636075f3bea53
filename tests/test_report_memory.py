"""What is said of configurations that did not fit in memory."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from make_sweep import DEFAULT, evaluation, open_study

from search_spaces.space import parse_space
from tuner.report_memory import cause, memory
from tuner.results import Results
from tuner.study import DEFAULT_ORIGIN, SweepStudy

SPACE = parse_space({"batch_size": {"choice": [2, 4]}, "patch_size": {"choice": [32, 64]}, "width": {"int": [8, 64]}})


def turn_away(study: SweepStudy, estimated: float) -> None:
    facts = {"estimated_gib": estimated, "memory_limit_gib": 10.0}
    study.finish(study.ask().number, "turned away", facts=facts)


def train(study: SweepStudy, **facts: Any) -> None:
    number = study.ask().number
    study.report(number, 1000, evaluation(0.8, 1000), facts)
    study.finish(number, "full budget")


def of(study: SweepStudy) -> Results:
    return Results.from_studies(study.optuna)


def test_those_turned_away_are_counted_with_their_estimates() -> None:
    study = open_study()
    study.enqueue(DEFAULT)
    turn_away(study, 11.25)
    assert next(memory(of(study))) == (
        "1 configuration was turned away before starting: its estimated peak memory, 11.2 GiB, exceeds 10 GiB. "
        "It is not counted as a trial."
    )
    turn_away(study, 30)
    assert next(memory(of(study))) == (
        "2 configurations were turned away before starting: their estimated peak memory, 11.2 to 30 GiB, "
        "exceeds 10 GiB. They are not counted as trials."
    )


def test_says_that_the_default_configuration_was_turned_away() -> None:
    study = open_study()
    study.enqueue(DEFAULT, origin=DEFAULT_ORIGIN)
    turn_away(study, 12)
    assert list(memory(of(study)))[1] == "The default configuration is among them."


def test_trials_that_ran_out_of_memory_are_named_with_what_was_expected() -> None:
    study = open_study()
    train(study, estimated_gib=2.5)
    study.finish(study.ask().number, "out of memory", error="OutOfMemoryError", facts={"estimated_gib": 9.5})
    study.finish(study.ask().number, "out of memory", error="OutOfMemoryError")
    assert list(memory(of(study))) == ["2 trials started and ran out of memory: 1, 2. The estimate was 9.5 GiB."]


def test_nothing_is_said_where_all_fitted() -> None:
    study = open_study()
    train(study)
    assert list(memory(of(study))) == []


def mixed(too_large: Callable[[Mapping[str, Any]], bool], *, trials: int) -> Results:
    """A sweep of which those that `too_large` picks are turned away."""
    study = open_study(space=SPACE)
    for _ in range(trials):
        proposal = study.ask()
        if too_large(proposal.parameters):
            study.finish(proposal.number, "turned away", facts={"estimated_gib": 12.0, "memory_limit_gib": 10.0})
        else:
            study.report(proposal.number, 1000, evaluation(0.8, 1000), {})
            study.finish(proposal.number, "full budget")
    results = of(study)
    assert 4 <= len(results.turned_away) < trials - 4
    return results


@pytest.mark.parametrize(
    ("too_large", "text"),
    [
        (lambda p: p["patch_size"] == 64, "patch_size 64"),
        (lambda p: p["patch_size"] == 64 and p["batch_size"] == 4, "batch_size 4 with patch_size 64"),
        (lambda p: p["width"] > 40, "width of 4[1-9] or more"),
        (lambda p: p["width"] < 24, "width of 2[0-3] or less"),
    ],
)
def test_a_clear_cause_is_named(too_large: Callable[[Mapping[str, Any]], bool], text: str) -> None:
    found = cause(mixed(too_large, trials=24))
    assert re.fullmatch(f"All that did not fit have {text}; none that fitted has.", found), found


def test_no_cause_is_named_by_chance() -> None:
    assert cause(mixed(lambda p: (7 * p["width"] + p["batch_size"]) % 3 == 0, trials=24)) == ""
    study = open_study(space=SPACE)
    study.enqueue({"batch_size": 4, "patch_size": 64, "width": 64})
    turn_away(study, 12)
    for _ in range(3):
        study.enqueue({"batch_size": 2, "patch_size": 32, "width": 8})
        train(study)
    assert cause(of(study)) == ""  # one of four differs in everything: that says nothing
