"""The best configuration as a file for `voxtune train`, and its model beside it."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tuner.best import Best
from tuner.checkpoints import checkpoints_of
from tuner.config import SEGMENTATION, SweepConfig
from tuner.directory import SweepDirectory
from tuner.files import replace_file, write_text
from tuner.results import Results


def write_best(directory: SweepDirectory, config: SweepConfig, results: Results) -> tuple[Path | None, Path | None]:
    """Write the best configuration and copy its model. Returns what there is of both."""
    best = results.best
    if best is None:
        return None, None
    text = best_config(config, best, device=results.device_of(best.run), formats=results.formats_of(best.run))
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


def best_config(config: SweepConfig, best: Best, *, device: str | None, formats: Mapping[str, str]) -> str:
    """The best configuration as YAML, for `voxtune train`; it names the trainable if that is none of ours.

    Args:
        device: `cpu` or `cuda`, where its best run was trained, since the other gives another Dice; None if unknown.
        formats: what the settings were there that may be `auto`: another machine would choose for itself.
    """
    run = best.run
    where = f"trial {best.number}" + (f", repeated as {run.number} of confirm" if run.study == "confirm" else "")
    sections = {"dataset": config.dataset, "preprocessing": config.preprocessing}
    content: dict[str, Any] = {name: section.model_dump(mode="json") for name, section in sections.items() if section}
    if config.trainable != SEGMENTATION:
        content["trainable"] = config.trainable
    parameters: Mapping[str, Any] = best.parameters
    if config.trainable == SEGMENTATION:
        parameters = for_one_worker(_settled(parameters, formats), config.resources.workers_per_trial)
    content |= {
        "parameters": dict(parameters),
        "budget": {"unit": config.budget.unit, "maximum": config.budget.maximum},
        "seed": run.seed,
        "threads": max(1, int(config.resources.cpus_per_trial)),
    }
    if device:
        content["device"] = device
    if config.cache:
        content["cache"] = str(config.cache)
    body = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    share = "" if run.finished else f" at {run.step / 10:g}% of the budget"
    return f"# Sweep {config.name}, {where}: validation Dice {run.score:.4f}{share}\n{body}"


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


def _settled(parameters: Mapping[str, Any], formats: Mapping[str, str]) -> dict[str, Any]:
    """The parameters, with what `auto` was."""
    open_ = {name: value for name, value in formats.items() if parameters.get(name, "auto") == "auto"}
    return {**parameters, **open_}
