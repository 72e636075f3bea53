"""What Ray's metrics say of a search: which there are, and their values, read from its study.

Ray puts `ray_` before each name. Units are Prometheus's: bytes, seconds, ratios from 0 to 1. A sweep has a series for
each state and a few of its own; only running trials have series, so that a sweep of a thousand trials has no more of
them at a time than one of ten.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from optuna.trial import FrozenTrial

from tuner.rungs import FULL_BUDGET
from tuner.standing import Standing
from tuner.study import StopReason
from tuner.time_left import last_step

SWEEP_METRICS = {
    "voxtune_best_dice": "Best Dice at the highest budget that any trial of the sweep reached.",
    "voxtune_best_trial": "Number of the trial with the best Dice.",
    "voxtune_best_budget_ratio": "Share of the full budget at which the best Dice was reached.",
    "voxtune_busy_ratio": "Share of the slots' time that went into training and evaluation, over the whole search.",
    "voxtune_seconds_left": "Expected time until the search ends; there is none before three trials have ended.",
}
"""Of a sweep: tag `sweep`."""

STATE_METRIC = "voxtune_trials"
STATE_METRICS = {STATE_METRIC: "Trials of the sweep in each state."}
"""Tags `sweep` and `state`: one of STATES."""

STATES = ("running", "interrupted", *get_args(StopReason), "to go")

TRIAL_METRICS = {
    "voxtune_trial_dice": "Dice of the running trial at its last rung.",
    "voxtune_trial_rung": "Rungs that the running trial has reached.",
    "voxtune_trial_budget_ratio": "Share of the full budget that the running trial had used at its last rung.",
    "voxtune_trial_voxels_per_second": "Voxels that the running trial sees in a second of training, mean so far.",
    "voxtune_trial_step_seconds": "Seconds that a training step of the running trial takes, mean so far.",
    "voxtune_trial_peak_memory_bytes": "Highest memory of the running trial: of torch on a GPU, else of its process.",
    "voxtune_trial_devices": "GPUs that the running trial has, or CPU cores if it has no GPU.",
    "voxtune_trial_busy_ratio": "Share of the running trial's time that went into training and evaluation.",
    "voxtune_trial_skipped_steps": "Training steps of the running trial that fp16 skipped.",
}
"""Of a running trial: tags `sweep` and `trial`, its number."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """A metric at one moment."""

    metric: str
    value: float
    tags: Mapping[str, str] = field(default_factory=dict)
    """Beside `sweep`."""


def metric_values(
    trials: Sequence[FrozenTrial], *, endless: bool = False, devices: float, busy: float | None
) -> list[Value]:
    """All values of a search at one moment. What is not known yet has none.

    Args:
        trials: all of its study's trials.
        endless: whether no number of trials ends it.
        devices: GPUs of a trial, or its CPU cores if it has no GPU.
        busy: share of the slots' time in training and evaluation, see `tuner.utilisation`.
    """
    standing = Standing.of(trials, endless=endless)
    return [
        *_of_states(standing),
        *_of_sweep(standing, busy),
        *(
            Value(metric=metric, value=value, tags={"trial": str(trial.number)})
            for trial in standing.running
            for metric, value in _of_trial(trial, devices).items()
        ),
    ]


def _of_states(standing: Standing) -> Iterator[Value]:
    """Every state, also those that no trial is in: a series that ended would be drawn as a gap, not as zero."""
    counts = {
        **Counter(trial.user_attrs.get("stop_reason") for trial in standing.ended),
        "running": len(standing.running),
        "interrupted": len(standing.interrupted),
        "turned away": standing.turned_away,
        "to go": standing.to_go or 0,
    }
    for state in STATES:
        yield Value(metric=STATE_METRIC, value=counts.get(state, 0), tags={"state": state})


def _of_sweep(standing: Standing, busy: float | None) -> Iterator[Value]:
    if (best := standing.best) is not None:
        yield Value(metric="voxtune_best_dice", value=best.score)
        yield Value(metric="voxtune_best_trial", value=best.number)
        yield Value(metric="voxtune_best_budget_ratio", value=best.step / FULL_BUDGET)
    if busy is not None:
        yield Value(metric="voxtune_busy_ratio", value=busy)
    if standing.seconds_left is not None:
        yield Value(metric="voxtune_seconds_left", value=standing.seconds_left)


def _of_trial(trial: FrozenTrial, devices: float) -> dict[str, float]:
    facts, step = trial.user_attrs, last_step(trial)
    values = {
        "voxtune_trial_devices": devices,
        "voxtune_trial_rung": len(trial.intermediate_values),
        "voxtune_trial_budget_ratio": step / FULL_BUDGET,
    }
    if not step:
        return values
    values["voxtune_trial_dice"] = trial.intermediate_values[step]
    last = facts["evaluations"][-1]
    seconds = last["training_seconds"]
    if seconds and facts.get("voxels"):
        values["voxtune_trial_voxels_per_second"] = facts["voxels"] / seconds
    if last["steps"]:
        values["voxtune_trial_step_seconds"] = seconds / last["steps"]
    if facts.get("peak_gib") is not None:
        values["voxtune_trial_peak_memory_bytes"] = facts["peak_gib"] * 2**30
    if facts.get("skipped_steps") is not None:
        values["voxtune_trial_skipped_steps"] = facts["skipped_steps"]
    stints = facts.get("stints", ())
    lasted = sum(stint["ended"] - stint["began"] for stint in stints)
    if lasted > 0:
        values["voxtune_trial_busy_ratio"] = sum(stint["advance"] for stint in stints) / lasted
    return values
