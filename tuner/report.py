"""Writes what a sweep leaves for people: the report with its tables and pictures, the best configuration and model.

Each file is whole at any time, so that a report can be read while the sweep that rewrites it goes on.
"""

import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure

from tuner.best import Best, Run
from tuner.config import SEGMENTATION, SweepConfig
from tuner.directory import SweepDirectory
from tuner.files import replace_file
from tuner.importance import Importance, parameter_importance
from tuner.markdown import amount
from tuner.plots import importance_chart, learning_curves
from tuner.report_page import Page
from tuner.results import Results, read_results
from tuner.rungs import rung_steps

SCHEMA = 1
"""Of report.json: raised when a key changes its meaning or goes."""


@dataclass(frozen=True, kw_only=True)
class ReportFiles:
    """What a report consists of; None for what there was nothing to write of."""

    markdown: Path
    json: Path
    trials: Path
    curves: Path
    cases: Path
    learning_curves: Path | None
    importance: Path | None
    best_config: Path | None
    best_model: Path | None


def write_report(directory: SweepDirectory) -> ReportFiles:
    """Write, or write again, the report of the sweep in `directory` as it stands.

    Raises StudyError if the sweep was not begun or its study can't be read.
    """
    config = SweepConfig.read(directory.sweep_file)
    results = read_results(directory)
    importance = parameter_importance(results)
    folder = directory.report
    rungs = rung_steps(config.budget.first_share, config.budget.reduction)
    budget = amount(config.budget.maximum, config.budget.unit)
    curves = learning_curves(results, rungs=rungs, budget=budget) if results.ranking else None
    best_config, best_model = _write_best(directory, config, results.best)
    files = ReportFiles(
        markdown=folder / "report.md",
        json=folder / "report.json",
        trials=_write_table(folder / "trials.csv", results.trials),
        curves=_write_table(folder / "curves.csv", results.curves),
        cases=_write_table(folder / "cases.csv", results.cases),
        learning_curves=_write_picture(folder / "learning_curves.png", curves),
        importance=_write_picture(folder / "importance.png", importance_chart(importance) if importance else None),
        best_config=best_config,
        best_model=best_model,
    )
    page = Page(
        config=config,
        results=results,
        importance=importance,
        environment=_read_json(directory.environment_file),
        split=_read_json(directory.split_file),
        folder=_short(directory.root),
        has_model=best_model is not None,
    )
    data = json.dumps(_plain(_data(config, results, importance)), indent=1, allow_nan=False)
    _write_text(files.json, data + "\n")
    _write_text(files.markdown, page.to_markdown())
    return files


def _write_best(directory: SweepDirectory, config: SweepConfig, best: Best | None) -> tuple[Path | None, Path | None]:
    """Write the best configuration and copy its model. Returns what there is of both."""
    if best is None:
        return None, None
    text = best_config(config, best)
    path = directory.best_config
    same = path.is_file() and path.read_text(encoding="utf-8") == text
    _write_text(path, text)
    model = directory.model_file(best.run.study, best.run.number)
    if model.is_file():
        return path, replace_file(directory.best_model, lambda temporary: shutil.copyfile(model, temporary))
    if not same:
        directory.best_model.unlink(missing_ok=True)  # it belongs to the configuration that was best before
    return path, directory.best_model if directory.best_model.is_file() else None


def best_config(config: SweepConfig, best: Best) -> str:
    """The best configuration as YAML, for `voxtune train`; it names the trainable if that is none of ours."""
    run = best.run
    where = f"trial {best.number}" + (f", repeated as {run.number} of confirm" if run.study == "confirm" else "")
    sections = {"dataset": config.dataset, "preprocessing": config.preprocessing}
    content: dict[str, Any] = {name: section.model_dump(mode="json") for name, section in sections.items() if section}
    if config.trainable != SEGMENTATION:
        content["trainable"] = config.trainable
    content |= {
        "parameters": dict(best.parameters),
        "budget": {"unit": config.budget.unit, "maximum": config.budget.maximum},
        "seed": run.seed,
        "threads": max(1, int(config.resources.cpus_per_trial)),
    }
    if config.cache:
        content["cache"] = str(config.cache)
    body = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    share = "" if run.finished else f" at {run.step / 10:g}% of the budget"
    return f"# Sweep {config.name}, {where}: validation Dice {run.score:.4f}{share}\n{body}"


def _data(config: SweepConfig, results: Results, importance: Importance | None) -> dict[str, Any]:
    best, default = results.best, results.default
    return {
        "schema": SCHEMA,
        "sweep": config.name,
        "budget": {"unit": config.budget.unit, "maximum": config.budget.maximum},
        "best": best
        and {
            "trial": best.number,
            "basis": best.basis,
            "dice": float(np.mean([run.score for run in best.runs])),
            "parameters": best.parameters,
            "runs": [_run_data(results, run) for run in best.runs],
        },
        "default": default and _run_data(results, default),
        "confirmed": results.confirmed_summary.to_dict("records"),
        "importance": importance
        and {"trials": importance.trials, "shares": importance.shares, "chance": importance.chance},
        "ranking": [run.number for run in results.ranking],
        "trials": results.trials.to_dict("records"),
    }


def _run_data(results: Results, run: Run) -> dict[str, Any]:
    return {
        "study": run.study,
        "number": run.number,
        "seed": run.seed,
        "step": run.step,
        "validation": run.score,
        "test": results.case_scores(run, "test").mean(),
    }


def _plain(value: Any) -> Any:
    """`value` of JSON's types: what is missing or not a number as null, times in ISO format."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if pd.isna(value) or value in (math.inf, -math.inf):
        return None
    return value.isoformat() if isinstance(value, pd.Timestamp) else value


def _write_picture(path: Path, figure: Figure | None) -> Path | None:
    if figure is None:
        path.unlink(missing_ok=True)  # of an earlier report, about something else
        return None
    return replace_file(path, lambda temporary: figure.savefig(temporary, format="png"))


def _write_table(path: Path, frame: pd.DataFrame) -> Path:
    return replace_file(path, lambda temporary: frame.to_csv(temporary, index=False, lineterminator="\n"))


def _write_text(path: Path, text: str) -> Path:
    return replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _short(path: Path) -> str:
    """As seen from here where it lies below, else absolute."""
    here = Path.cwd()
    return os.path.relpath(path, here) if path.is_relative_to(here) else str(path)
