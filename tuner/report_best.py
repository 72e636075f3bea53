"""The best configuration as a file for `voxtune train`, and its model beside it."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuner.best import Best
from tuner.checkpoints import checkpoints_of
from tuner.commented_yaml import commented_yaml
from tuner.config import SEGMENTATION, SweepConfig
from tuner.directory import SweepDirectory
from tuner.environment import PRECISION_CHECKS
from tuner.errors import SweepDirectoryError
from tuner.files import replace_file, write_text
from tuner.provenance import comments_on_best, how_settled
from tuner.results import Results
from tuner.sweep_files import read_environment


def write_best(directory: SweepDirectory, config: SweepConfig, results: Results) -> tuple[Path | None, Path | None]:
    """Write the best configuration and copy its model. Returns what there is of both."""
    best = results.best
    if best is None:
        return None, None
    text = best_config(config, results, best, environment=_environment(directory))
    path = directory.best_config
    same = path.is_file() and path.read_text(encoding="utf-8") == text
    write_text(path, text)
    checkpoints = checkpoints_of(config, directory)
    if model := checkpoints.model(best.run.study, best.run.number):
        with checkpoints.files.fetched(model) as source:
            return path, replace_file(directory.best_model, lambda temporary: shutil.copyfile(source, temporary))
    if not same:
        directory.best_model.unlink(missing_ok=True)  # it belongs to the configuration that was best before
    return path, directory.best_model if directory.best_model.is_file() else None


def best_config(config: SweepConfig, results: Results, best: Best, *, environment: Mapping[str, Any]) -> str:
    """The best configuration as YAML, for `voxtune train`, with comments that say where each value came from.

    It names the trainable if that is none of ours. Settings that the sweep did not name are not written either: the
    trials had them from voxtune's defaults, as `voxtune train` will; the file says of which version.

    Args:
        environment: what stands in `environment.json`.
    """
    run, trial = best.run, results.sweep_trials[best.number]
    sections = {"dataset": config.dataset, "preprocessing": config.preprocessing}
    content: dict[str, Any] = {name: section.model_dump(mode="json") for name, section in sections.items() if section}
    if config.trainable != SEGMENTATION:
        content["trainable"] = config.trainable
    parameters: Mapping[str, Any] = best.parameters
    settled: Mapping[str, str] = {}
    if config.trainable == SEGMENTATION:
        formats = results.formats_of(run)
        checks = environment.get(PRECISION_CHECKS, [])
        settled = how_settled(parameters, formats, checks, results.device_name_of(run))
        # Another machine would choose for itself.
        parameters = {**parameters, **{name: formats[name] for name in settled}}
        parameters = for_one_worker(parameters, config.resources.workers_per_trial)
    content |= {
        "parameters": dict(parameters),
        "budget": {"unit": config.budget.unit, "maximum": config.budget.maximum},
        "seed": run.seed,
        "threads": max(1, int(config.resources.cpus_per_trial)),
    }
    if device := results.device_of(run):
        content["device"] = device
    if config.cache:
        content["cache"] = str(config.cache)
    share = "" if run.finished else f" at {run.step / 10:g}% of the budget"
    head = f"# Sweep {config.name}, {best}: validation Dice {run.score:.4f}{share}\n{_defaults(config, environment)}"
    comments = comments_on_best(config, trial, run, parameters=content["parameters"], settled=settled)
    return head + commented_yaml(content, comments)


def _defaults(config: SweepConfig, environment: Mapping[str, Any]) -> str:
    if config.trainable != SEGMENTATION:
        return ""
    made_by = environment.get("libraries", {}).get("voxtune")
    return f"# What is not named under parameters has the default{f' of voxtune {made_by}' if made_by else ''}.\n"


def for_one_worker(parameters: Mapping[str, Any], workers: int) -> Mapping[str, Any]:
    """What one process trains as `workers` together did: with all their patches in a batch."""
    if workers == 1 or not parameters.get("batch_per_worker"):
        return parameters
    from trainables.segmentation_config import SegmentationConfig  # torch takes seconds to import

    together = SegmentationConfig.from_mapping(parameters).for_workers(workers)
    others = {
        name: value for name, value in parameters.items() if name not in ("batch_per_worker", "learning_rate_scaling")
    }
    return {**others, "batch_size": together.batch_size, "learning_rate": together.learning_rate}


def _environment(directory: SweepDirectory) -> dict[str, Any]:
    """Nothing where it can't be read: comments alone depend on it."""
    try:
        return read_environment(directory)
    except SweepDirectoryError:
        return {}
