"""What Ray's metrics say of a sweep is what its study says, trial by trial, whatever becomes of Ray or the study."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from make_sweep import evaluation, open_study, stint_on

from tuner import metrics
from tuner.metric_values import STATE_METRICS, STATES, SWEEP_METRICS, TRIAL_METRICS, metric_values
from tuner.metrics import publishing
from tuner.study import SweepStudy


@pytest.fixture
def study() -> SweepStudy:
    """A trial in each state: 0 full budget, 1 and 2 stopped, 3 out of memory, 4 error, 5 turned away, 6 interrupted,
    7 has reported twice, 8 not yet, and three planned."""
    study = open_study()
    study.plan(12)
    for number, steps, reason in (
        (0, (111, 333, 1000), "full budget"),
        (1, (111,), "stopped at rung"),
        (2, (111,), "stopped at rung"),
        (3, (), "out of memory"),
        (4, (), "error"),
        (5, (), "turned away"),
        (6, (111,), None),
        (7, (111, 333), None),
        (8, (), None),
    ):
        assert study.ask().number == number
        for step in steps:
            stint = stint_on(began=1000.0, lasted=step / 10, advance=step / 20, pid=number)
            score = 0.5 + step / 4000 - number / 100
            study.report(number, step, evaluation(score, step), {"voxels": step * 1e6, "skipped_steps": 3}, stint=stint)
        if reason:
            study.finish(number, reason)
    study.release([6])
    return study


def of(study: SweepStudy, *, busy: float | None = None) -> dict[tuple[str, ...], float]:
    """The values by metric and tags."""
    values = metric_values(study.trials(), devices=0.5, busy=busy)
    found = {(value.metric, *value.tags.values()): value.value for value in values}
    assert len(found) == len(values)
    return found


def test_every_state_has_its_trials(study: SweepStudy) -> None:
    states = {tags[1]: value for tags, value in of(study).items() if tags[0] == "voxtune_trials"}
    assert states == {
        "running": 2,
        "interrupted": 1,
        "full budget": 1,
        "stopped at rung": 2,
        "out of memory": 1,
        "turned away": 1,
        "timed out": 0,
        "error": 1,
        "to go": 3,
    }


def test_best_is_at_the_highest_budget(study: SweepStudy) -> None:
    values = of(study)
    assert values["voxtune_best_dice",] == 0.75
    assert values["voxtune_best_trial",] == 0
    assert values["voxtune_best_budget_ratio",] == 1


def test_running_trials_alone_have_series(study: SweepStudy) -> None:
    assert {tags[1] for tags in of(study) if tags[0].startswith("voxtune_trial_")} == {"7", "8"}


def test_a_running_trial(study: SweepStudy) -> None:
    values = {tags[0]: value for tags, value in of(study).items() if tags[1:] == ("7",)}
    assert values == {
        "voxtune_trial_dice": pytest.approx(0.51325),
        "voxtune_trial_rung": 2,
        "voxtune_trial_budget_ratio": 0.333,
        "voxtune_trial_voxels_per_second": pytest.approx(333e6 / 33.3),
        "voxtune_trial_step_seconds": pytest.approx(0.1),
        "voxtune_trial_peak_memory_bytes": 1.25 * 2**30,
        "voxtune_trial_devices": 0.5,
        "voxtune_trial_busy_ratio": pytest.approx(0.5),
        "voxtune_trial_skipped_steps": 3,
    }
    assert values.keys() == TRIAL_METRICS.keys()


def test_a_trial_that_has_not_reported(study: SweepStudy) -> None:
    values = {tags[0]: value for tags, value in of(study).items() if tags[1:] == ("8",)}
    assert values == {"voxtune_trial_rung": 0, "voxtune_trial_budget_ratio": 0, "voxtune_trial_devices": 0.5}


def test_what_is_not_known_has_no_value() -> None:
    study = open_study()
    study.plan(3)
    assert set(of(study)) == {("voxtune_trials", state) for state in STATES}


class Gauges(dict[tuple[str, ...], float]):
    """What Ray's gauges were last set to."""

    def gauge(self, name: str, description: str, sweep: str, tags: tuple[str, ...]) -> Any:
        assert description.endswith(".")
        return SimpleNamespace(set=lambda value, tags: self.update({(name, sweep, *tags.values()): value}))


def work_over(study: SweepStudy, **resources: float) -> Any:
    return SimpleNamespace(study=study, trials=11, resources=resources, workers=2)


def test_publishes_at_begin_and_end(study: SweepStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    gauges = Gauges()
    monkeypatch.setattr(metrics, "_gauge", gauges.gauge)
    with publishing(work_over(study, cpu=4, gpu=0.5), sweep="heart"):
        assert gauges["voxtune_trials", "heart", "running"] == 2
        assert gauges["voxtune_trial_devices", "heart", "8"] == 1.0
        study.finish(8, "error")
        gauges.clear()
    assert gauges["voxtune_trials", "heart", "running"] == 1
    assert gauges["voxtune_trials", "heart", "error"] == 2
    assert not any("8" in tags for tags in gauges)
    # A made-up step takes 0.1 s of its slot, all of it training, and an evaluation 0.004 s for each step before it.
    assert gauges["voxtune_busy_ratio", "heart"] == pytest.approx((0.1 + 0.004) / 0.1)


def test_devices_are_cores_where_there_is_no_gpu(study: SweepStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    gauges = Gauges()
    monkeypatch.setattr(metrics, "_gauge", gauges.gauge)
    with publishing(work_over(study, cpu=4), sweep="heart"):
        assert gauges["voxtune_trial_devices", "heart", "7"] == 8


def test_a_failure_is_told_once_and_ends_nothing(
    study: SweepStudy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*arguments: object) -> None:
        raise ConnectionError("no metrics agent")

    monkeypatch.setattr(metrics, "_gauge", away)
    done = False
    with caplog.at_level(logging.INFO, "voxtune"), publishing(work_over(study, cpu=1), sweep="heart"):
        done = True
    assert done
    assert [record.getMessage() for record in caplog.records] == ["heart: metrics could not be published"]
    assert "no metrics agent" in caplog.text


def test_names_are_prometheus_names() -> None:
    names = [*SWEEP_METRICS, *STATE_METRICS, *TRIAL_METRICS]
    assert len(set(names)) == len(names)
    assert all(name.startswith("voxtune_") and name.replace("_", "").isalpha() for name in names)
