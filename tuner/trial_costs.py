"""What trials of a sweep file take: a few steps of some configurations timed on this machine, or an earlier sweep's."""

from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial

from tuner import machine
from tuner.calibration import CONFIGURATIONS, random_configurations
from tuner.config import SEGMENTATION, SweepConfig
from tuner.directory import SweepDirectory
from tuner.errors import StudyError, SweepConfigError
from tuner.expectation import TrialCost
from tuner.pace import Job, Pace, Pacers
from tuner.preparation import Prepared, prepare_sweep
from tuner.results import read_results
from tuner.rungs import FULL_BUDGET
from tuner.space_check import check_trainable
from tuner.view import View

TIMED_CASES = 2
"""Validation cases that are segmented to see what an evaluation takes."""

TIMED_SECONDS = 20.0
"""After these no other configuration is begun."""


def earlier_costs(config: SweepConfig, directory: SweepDirectory) -> list[TrialCost]:
    """What the trials of an earlier sweep took, for the full budget of `config` as one unit; the first one's first.

    Raises StudyError where that says nothing of `config`.
    """
    budget = SweepConfig.read(directory.sweep_file).budget
    if budget.unit != config.budget.unit:
        raise StudyError(f"--from: its budget is in {budget.unit}, the sweep file's in {config.budget.unit}")
    trials = [trial for trial in read_results(directory).begun if trial.user_attrs.get("evaluations")]
    if not trials:
        raise StudyError("--from: the sweep has no trial that has reached a rung yet")
    return [_cost(trial, config.budget.maximum / budget.maximum) for trial in trials]


def _cost(trial: FrozenTrial, factor: float) -> TrialCost:
    evaluations = trial.user_attrs["evaluations"]
    last = evaluations[-1]
    return TrialCost(
        seconds_per_unit=factor * last["training_seconds"] * FULL_BUDGET / last["step"],
        evaluation_seconds=last["evaluation_seconds"] / len(evaluations),
    )


def measured_costs(config: SweepConfig, view: View) -> list[TrialCost]:
    """What some configurations take on this machine, all its places for trials busy, for the full budget as one unit;
    the first trial's first. The data are prepared on the way, as for the sweep.

    Raises SweepConfigError where it can't be measured here, and as a sweep would whose file is wrong.
    """
    check_trainable(config)
    budget, size = config.budget, config.resources
    other = "plan by an earlier sweep, with --from"
    if config.trainable != SEGMENTATION and budget.unit not in ("steps", "seconds"):
        raise SweepConfigError(
            f"{config.source}: budget.unit: what a step of {config.trainable} uses of {budget.unit} is not known; "
            f"{other}"
        )
    if size.gpus_per_trial and not machine.cuda_devices():
        raise SweepConfigError(
            f"{config.source}: resources.gpus_per_trial: this machine has no GPU to time trials on; plan on one that "
            f"has, or {other}"
        )
    prepared = prepare_sweep(config, view)
    threads = max(1, int(size.cpus_per_trial))
    data, cases = _timed_data(prepared, threads)
    configurations = _configurations(config)
    places = 1 if size.gpus_per_trial else max(1, machine.usable_cores() // threads)
    with Pacers(slots=places, threads=threads, trainable=config.trainable) as workers:
        paces = workers.time(
            Job(
                trainable=config.trainable,
                data=data,
                device="cuda" if size.gpus_per_trial else "cpu",
                configurations=configurations,
                seconds=TIMED_SECONDS,
            )
        )
    return [
        TrialCost(
            seconds_per_unit=_training_seconds(config, prepared, parameters, pace),
            evaluation_seconds=pace.evaluation * cases,
        )
        for parameters, pace in zip(configurations, paces, strict=False)
    ]


def _timed_data(prepared: Prepared | None, threads: int) -> tuple[dict[str, Any], float]:
    """A training run's data with few validation cases, and how many times as many there are."""
    if prepared is None:
        return {}, 1.0
    data = prepared.training_data(threads=threads)
    few = data["validation"][:TIMED_CASES]
    return {**data, "validation": few}, len(data["validation"]) / len(few)


def _configurations(config: SweepConfig) -> list[dict[str, Any]]:
    """The first trial's, and variants of it."""
    return random_configurations(config.space, config.search_space.first(config.default), CONFIGURATIONS)


def _training_seconds(
    config: SweepConfig, prepared: Prepared | None, parameters: Mapping[str, Any], pace: Pace
) -> float:
    """Of a trial that uses the full budget."""
    budget = config.budget
    if budget.unit == "seconds":
        return budget.maximum
    if prepared is None or budget.unit == "steps":
        return budget.maximum * pace.step
    from trainables.segmentation import network_for  # torch takes seconds to import
    from trainables.segmentation_config import SegmentationConfig
    from trainables.work import step_cost

    settings = SegmentationConfig.from_mapping(parameters)
    network = network_for(settings, prepared.volumes)
    cost = step_cost(budget.unit, network, settings.patch_size, settings.batch_size)
    assert cost is not None
    return budget.maximum / cost * pace.step
