"""Where each value of the best configuration came from, for people: the comments of `best/config.yaml`."""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from search_spaces.parameters import Choice, Parameter
from tuner.best import Run
from tuner.cells import short
from tuner.commented_yaml import Comments
from tuner.config import SweepConfig
from tuner.study import DEFAULT_ORIGIN

PER_WORKER = ("batch_size", "learning_rate")
"""What a training in one process has other values of than the workers of a trial had."""


def comments_on_best(
    config: SweepConfig,
    trial: FrozenTrial,
    run: Run,
    *,
    parameters: Mapping[str, Any],
    settled: Mapping[str, str],
) -> Comments:
    """The comment of each key of the best configuration.

    Args:
        trial: the sweep's, which proposed it.
        run: the one whose seed and device it names.
        parameters: as they are written.
        settled: of the settings that were `auto`, how each came to its value.
    """
    origins = {name: _origin(name, config, trial) for name in parameters}
    for name, how in settled.items():
        origins[name] = f"{origins[name]}; {how}" if origins.get(name) else f"auto by default; {how}"
    for name, how in _of_workers(config, {**config.search_space.fixed, **trial.params}, parameters).items():
        origins[name] = f"{how}; {origins[name]}"
    sweep_file = "of the sweep file"
    repeated = f", repeat {run.number} of confirm" if run.study == "confirm" else ""
    return {
        ("dataset",): sweep_file,
        ("preprocessing",): sweep_file,
        ("trainable",): sweep_file,
        ("budget",): "the full budget of the sweep file",
        ("seed",): f"of trial {trial.number}{repeated}: the run named above",
        ("threads",): "resources.cpus_per_trial of the sweep file",
        ("device",): "what that run was trained on; another kind of device gives another Dice",
        ("cache",): sweep_file,
        **{("parameters", name): origin for name, origin in origins.items() if origin},
    }


def how_settled(
    parameters: Mapping[str, Any], formats: Mapping[str, str], checks: Sequence[Mapping[str, Any]], device: str | None
) -> dict[str, str]:
    """Of the settings that were `auto`, how each came to its value of `formats`.

    Args:
        formats: `precision` and `memory_format` as the run had them.
        checks: what the sweep measured, as it stands in `environment.json`.
        device: the name of the run's device.
    """
    measured = any(check.get("device") == device and check.get("rows") for check in checks)
    how = (
        f"measured at the sweep's start on {device}" if measured else f"what {device or 'its device'} takes unmeasured"
    )
    return {name: f"auto: {how}" for name in formats if parameters.get(name, "auto") == "auto"}


def _origin(name: str, config: SweepConfig, trial: FrozenTrial) -> str:
    """Where the sweep had the value from; nothing for what it did not name."""
    if name in config.training:
        return "training: of the sweep file"
    if name not in config.space:
        return ""
    parameter = config.search_space[name]
    if name not in trial.params:
        return "space: of the sweep file, one value"
    return f"searched, {_domain(parameter)}: {_proposed(name, config, trial)}"


def _proposed(name: str, config: SweepConfig, trial: FrozenTrial) -> str:
    origin = trial.user_attrs.get("origin")
    given = trial.system_attrs.get("fixed_params", {})
    if origin == DEFAULT_ORIGIN:
        return "the default configuration"
    if origin and name in given:
        sweep, _, number = origin.rpartition(":")
        return f"taken over from trial {number} of sweep {sweep} (--from)"
    if config.search.sampler == "grid":
        return f"a point of the grid, trial {trial.number}"
    return f"proposed by the search, trial {trial.number}"


def _domain(parameter: Parameter) -> str:
    """`float 0.0001 to 0.01, log`."""
    form = parameter.to_yaml()
    if isinstance(parameter, Choice) or not isinstance(form, Mapping):
        return f"one of {', '.join(map(short, form['choice']))}" if isinstance(form, Mapping) else short(form)
    (kind, (low, high)), *options = form.items()
    told = "".join(f", {name}" if value is True else f", {name} {short(value)}" for name, value in options)
    return f"{kind} {short(low)} to {short(high)}{told}"


def _of_workers(config: SweepConfig, asked: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, str]:
    """What follows from the number of workers, where that makes another value of it."""
    count = config.resources.workers_per_trial
    return {
        name: f"{short(asked[name])} for each of {count} workers"
        if name == "batch_size"
        else f"{short(asked[name])}, scaled ({asked.get('learning_rate_scaling')}) for the batch of {count} workers"
        for name in PER_WORKER
        if name in asked and asked[name] != written.get(name)
    }
