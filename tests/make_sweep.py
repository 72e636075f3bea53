"""Plays a sweep through SweepStudy without training: made-up learning curves, judged by real rungs, for tests."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from search_spaces.space import SearchSpace, parse_space
from trainables.protocol import Evaluation
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.rungs import FULL_BUDGET, SuccessiveHalving, rung_steps
from tuner.study import SweepStudy

SPACE = {
    "learning_rate": {"float": [1e-4, 1e-2], "log": True},
    "batch_size": {"choice": [2, 4]},
    "patch_size": {"choice": [32, "40x56x40"]},
    "loss": {"choice": ["dice", "dice_ce"]},
    "optimizer": "adamw",
}
DEFAULT = {"learning_rate": 1e-3, "batch_size": 2, "patch_size": 32, "loss": "dice_ce"}
RUNGS = rung_steps(1 / 9, 3)
TOY_SWEEP = {
    "name": "toy",
    "trainable": "trainables.toy:ToyRun",
    "space": {"learning_rate": {"float": [1e-5, 1e-1], "log": True}},
    "budget": {"unit": "steps", "maximum": 90},
    "search": {"trials": 2, "stop_early": False},
    "confirm": {"top": 0},
}
"""A sweep file's content that needs no data."""

CASES = ("case_001", "case_002", "case_003", "case_004")
FACTS = {"peak_gib": 1.25, "parameters": 1_400_000, "precision": "fp32", "device": "cpu"}


def open_study(
    storage: optuna.storages.BaseStorage | None = None,
    *,
    name: str = "sweep",
    space: SearchSpace | None = None,
    seed: int = 0,
) -> SweepStudy:
    return SweepStudy.open(
        storage or optuna.storages.InMemoryStorage(),
        name,
        space or parse_space(SPACE),
        seed=seed,
        sampler=lambda number: optuna.samplers.RandomSampler(seed=seed * 1000 + number),
    )


def evaluation(
    score: float, step: int, *, cases: Mapping[str, Mapping[str, float]] | None = None, **amounts: Any
) -> Evaluation:
    """An evaluation of two classes, Anterior 0.02 above the score and Posterior as far below."""
    classes = {"Anterior": score + 0.02, "Posterior": score - 0.02}
    return Evaluation(
        score=score,
        budget_used=step * 1e6,
        steps=step,
        training_seconds=step / 10,
        evaluation_seconds=len(CASES) * step / 1000,
        metrics={"loss": 1 - score, **{f"dice_{name}": value for name, value in classes.items()}},
        cases=cases
        or {
            case: {name: value + 0.01 * offset for name, value in classes.items()}
            for case, offset in zip(CASES, (-2, 0, 0, 2), strict=True)
        },
        facts=FACTS,
    )


def sweep_directory(
    folder: Path, *, trials: int = 16, changes: Mapping[str, Any] | None = None, **files: Any
) -> SweepDirectory:
    """A sweep's directory with its sweep.yaml, and `environment` and `split` as JSON where given."""
    directory = SweepDirectory.create(folder)
    config = {
        "name": folder.name,
        "dataset": {"path": "/data/Heart scans"},
        "training": {"optimizer": "adamw"},
        "space": {name: form for name, form in SPACE.items() if name != "optimizer"},
        "default": DEFAULT,
        "budget": {"maximum": 1e9},
        "search": {"trials": trials},
    }
    directory.sweep_file.write_text(SweepConfig.model_validate({**config, **(changes or {})}).to_yaml())
    for name, content in files.items():
        {"environment": directory.environment_file, "split": directory.split_file}[name].write_text(json.dumps(content))
    return directory


def stint_on(
    node: str = "node-1", *, began: float = 100.0, lasted: float = 50.0, pid: int = 7, **phases: float
) -> dict:
    """A stint as an actor reports it; its first step begins after `start` seconds."""
    seconds = {"start": 1.0, "advance": 40.0, "checkpoint": 0.5, **phases}
    times = {"began": began, "first_step": began + seconds["start"], "ended": began + lasted}
    return {"node": node, "pid": pid, **times, **seconds}


def play(study: SweepStudy, trials: int, *, rungs: SuccessiveHalving | None = None) -> None:
    """Run trials to their end, one after another, until the study holds `trials`."""
    rungs = rungs or SuccessiveHalving(RUNGS, 3)
    while len(study.trials()) < trials or any(trial.state.name == "WAITING" for trial in study.trials()):
        proposal = study.ask()
        for step in rungs.steps:
            score = made_up_score(proposal.parameters, step, seed=1000 * proposal.seed + proposal.number)
            study.report(proposal.number, step, evaluation(score, step), stint=stint_on("node-1"))
            if step == FULL_BUDGET:
                study.finish(proposal.number, "full budget")
            elif rungs.judges(step) and not rungs.goes_on(proposal.number, study.scores_at(step)):
                study.finish(proposal.number, "stopped at rung")
                break


def made_up_score(parameters: Mapping[str, Any], step: int, *, seed: int) -> float:
    """A learning curve that rises to its end, which depends on the learning rate above all."""
    rng = np.random.default_rng(seed)
    off = math.log10(parameters["learning_rate"] / 3e-3)
    end = 0.89 - 0.06 * off**2 - 0.02 * (parameters.get("loss") == "dice") + rng.normal(0, 0.004)
    noise = np.random.default_rng([seed, step]).normal(0, 0.004)
    return float(end * (1 - 0.9 * math.exp(-step / (120 - 30 * off))) + noise)
