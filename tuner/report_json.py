"""report.json: the report's figures for programs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from optuna.trial import FrozenTrial

from tuner.best import Run
from tuner.config import SweepConfig
from tuner.importance import Importance
from tuner.results import Results
from tuner.spent import spent
from tuner.terminator import Gain
from tuner.utilisation import utilisation

SCHEMA = 1
"""Raised when a key changes its meaning or goes."""


def report_data(
    config: SweepConfig, results: Results, importance: Importance | None, gain: Gain | None
) -> dict[str, Any]:
    """Of JSON's types: what is missing or not a number as null, times in ISO format."""
    best, default = results.best, results.default
    data = {
        "schema": SCHEMA,
        "sweep": config.name,
        "budget": {"unit": config.budget.unit, "maximum": config.budget.maximum},
        "objectives": results.objectives,
        "best": best
        and {
            "trial": best.number,
            "basis": best.basis,
            "dice": best.score,
            "parameters": best.parameters,
            "runs": [_run(results, run) for run in best.runs],
            "found": _run(results, best.found),
            "model": _run(results, best.run),
        },
        "default": default and _run(results, default),
        "confirmed": results.confirmed_summary.to_dict("records"),
        "front": sorted(results.front),
        "importance": importance
        and {"trials": importance.trials, "shares": importance.shares, "chance": importance.chance},
        "gain": gain and asdict(gain),
        "standings": [run.number for run in results.standings],
        "trials": results.trials.to_dict("records"),
        "spent": _spent(config, results),
        "utilisation": {"search": _use(results.sweep_trials), "confirm": _use(results.confirm_trials)},
        "turned_away": results.turned_away.to_dict("records"),
    }
    plain: dict[str, Any] = as_json(data)
    return plain


def _run(results: Results, run: Run) -> dict[str, Any]:
    return {
        "study": run.study,
        "number": run.number,
        "seed": run.seed,
        "step": run.step,
        "validation": run.score,
        "test": results.case_scores(run, "test").mean(),
    }


def _spent(config: SweepConfig, results: Results) -> dict[str, Any] | None:
    found = spent(config, results)
    return {**asdict(found), "device_hours": found.device_hours} if found else None


def _use(trials: Sequence[FrozenTrial]) -> dict[str, Any] | None:
    found = utilisation(trials)
    return asdict(found) if found else None


def as_json(value: Any) -> Any:
    """`value` in JSON's types: what is missing or not a number as null, times in ISO format."""
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if pd.isna(value) or value in (math.inf, -math.inf):
        return None
    return value.isoformat() if isinstance(value, datetime) else value
