"""How long does a report take, and how large is its page, with 16, 200 and 1,000 trials?

    python benchmarks/report_page.py [--keep FOLDER]

The studies are made by the study's own code, as a driver makes them: trials with learning curves that real rungs judge,
40 validation cases of two classes each, eight slots, one trial in twenty out of memory, one in fifty failed. Nothing is
trained. `voxtune report` is then timed as a user types it, imports included, in a process of its own, three times: by
the wall clock, and by the CPU time that the process took, which others on the machine move less.

Prints a table; writes benchmarks/results/report_page-DATE.json. About 5 minutes, most of which makes the studies.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from trainables.protocol import Evaluation
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.environment import describe_environment
from tuner.rungs import FULL_BUDGET, SuccessiveHalving, rung_steps
from tuner.storage import open_storage
from tuner.study import DEFAULT_ORIGIN, DEVICES, SweepStudy

RESULTS = Path(__file__).parent / "results"
SIZES = (16, 200, 1000)
REPEATS = 3
SLOTS = 8
CASES = [f"hippocampus_{number:03d}" for number in range(1, 41)]
CLASSES = {"Anterior": 0.01, "Posterior": -0.01}
TRAINING = [f"hippocampus_{number:03d}" for number in range(41, 201)]
SWEEP: Mapping[str, Any] = {
    "dataset": {"path": "/data/Task04_Hippocampus"},
    "space": {
        "learning_rate": {"float": [1e-4, 1e-2], "log": True},
        "weight_decay": {"float": [1e-6, 1e-2], "log": True},
        "batch_size": {"choice": [2, 4, 8]},
        "patch_size": {"choice": ["24x40x24", "32x48x32", "40x56x40"]},
        "network_width": {"choice": [8, 16, 32]},
        "loss": {"choice": ["dice", "dice_ce"]},
    },
    "default": {
        "learning_rate": 1e-3,
        "weight_decay": 1e-4,
        "batch_size": 4,
        "patch_size": "32x48x32",
        "network_width": 16,
        "loss": "dice_ce",
    },
    "budget": {"maximum": 2e9},
}


def made_sweep(folder: Path, trials: int) -> SweepDirectory:
    """A sweep's directory as one leaves it, with a played study."""
    directory = SweepDirectory.create(folder)
    config = SweepConfig.model_validate({"name": folder.name, **SWEEP, "search": {"trials": trials}})
    directory.sweep_file.write_text(config.to_yaml())
    facts = {"name": "Task04_Hippocampus", "cases": len(CASES) + len(TRAINING), "content_hash": "0" * 64}
    directory.environment_file.write_text(json.dumps(describe_environment() | {"dataset": facts}))
    directory.split_file.write_text(json.dumps({"train": TRAINING, "validation": CASES, "test": []}))
    study = SweepStudy.open(
        open_storage(None, directory.journal, owner=True),
        "sweep",
        config.search_space,
        sampler=lambda number: optuna.samplers.RandomSampler(seed=number),
    )
    study.optuna.set_user_attr(DEVICES, {"GPU": 1})
    study.enqueue(config.default, origin=DEFAULT_ORIGIN)
    study.plan(trials)
    steps = rung_steps(config.budget.first_share, config.budget.reduction)
    play(study, trials, SuccessiveHalving(steps, config.budget.reduction))
    return directory


def play(study: SweepStudy, trials: int, rungs: SuccessiveHalving) -> None:
    """Run the trials on SLOTS slots, each begun on the slot that is free first, by a clock of its own."""
    free = [1.8e9] * SLOTS
    for _ in range(trials):
        slot = free.index(min(free))
        proposal = study.ask()
        rng = np.random.default_rng(proposal.number)
        began, seconds = free[slot] + 0.3, 1.0
        pace = 40 * proposal.parameters["network_width"] / 16 * rng.lognormal(0, 0.1)
        if proposal.number % 50 == 17:
            study.finish(proposal.number, "error", error="Traceback\nValueError: loss is not finite: nan")
            continue
        if proposal.number % 20 == 9:
            study.finish(proposal.number, "out of memory", error="OutOfMemoryError", facts={"estimated_gib": 91.0})
            continue
        for step in rungs.steps:
            found = evaluation(proposal.parameters, step, pace, rng)
            seconds = 1.0 + found.training_seconds + found.evaluation_seconds
            study.report(proposal.number, step, found, stint=stint(slot, began, seconds))
            if step == FULL_BUDGET:
                study.finish(proposal.number, "full budget")
            elif rungs.judges(step) and not rungs.goes_on(proposal.number, study.scores_at(step)):
                study.finish(proposal.number, "stopped at rung")
                break
        free[slot] = began + seconds + 0.2


def evaluation(parameters: Mapping[str, Any], step: int, pace: float, rng: np.random.Generator) -> Evaluation:
    """A point of a made-up learning curve."""
    share = step / FULL_BUDGET
    off = math.log10(parameters["learning_rate"] / 2e-3)
    end = 0.87 - 0.05 * off**2 + 0.006 * math.log2(parameters["network_width"] / 16)
    score = end * (1 - 0.7 * math.exp(-6 * share)) + rng.normal(0, 0.004)
    hard = np.random.default_rng(0).normal(0, 0.03, len(CASES))
    cases = {
        case: {name: float(np.clip(score + offset + hard[place] + rng.normal(0, 0.01), 0, 1))
               for name, offset in CLASSES.items()}
        for place, case in enumerate(CASES)
    }  # fmt: skip
    score = statistics.fmean(value for scores in cases.values() for value in scores.values())
    return Evaluation(
        score=score,
        budget_used=share * 2e9,
        steps=int(share * 5000),
        training_seconds=pace * share,
        evaluation_seconds=2.0 * share,
        metrics={"loss": 1 - score, **{f"dice_{name}": score + offset for name, offset in CLASSES.items()}},
        cases=cases,
        facts={"peak_gib": 0.4 * parameters["batch_size"], "device": "NVIDIA H100", "precision": "bf16"},
    )


def stint(slot: int, began: float, seconds: float) -> dict[str, Any]:
    return {
        "node": f"node-{slot // 4}",
        "pid": slot,
        "began": began,
        "first_step": began + 0.7,
        "ended": began + seconds + 0.1,
        "start": 0.7,
        "advance": seconds - 0.8,
        "checkpoint": 0.1,
    }


def timed(directory: SweepDirectory) -> tuple[list[float], list[float]]:
    """Seconds of `voxtune report`, imports included, each time: by the clock, and of CPU."""
    command = [sys.executable, "-m", "tuner.cli", "report", str(directory.root)]
    seconds, cpu_seconds = [], []
    for _ in range(REPEATS):
        began, cpu = time.perf_counter(), children_cpu()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(round(time.perf_counter() - began, 2))
        cpu_seconds.append(round(children_cpu() - cpu, 2))
    return seconds, cpu_seconds


def children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(folder: Path, trials: int) -> dict[str, Any]:
    directory = made_sweep(folder / f"made-{trials}", trials)
    seconds, cpu_seconds = timed(directory)
    files = {path.name: path.stat().st_size for path in sorted(directory.report.iterdir())}
    return {
        "trials": trials,
        "seconds": seconds,
        "median_seconds": statistics.median(seconds),
        "cpu_seconds": cpu_seconds,
        "median_cpu_seconds": statistics.median(cpu_seconds),
        "load_average": os.getloadavg()[0],
        "page_mb": round(files["report.html"] / 1e6, 2),
        "bytes": files,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="folder for the sweeps, kept to look at; an empty one")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of trials")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as temporary:
        rows = [measure(arguments.keep or Path(temporary), trials) for trials in arguments.sizes]
    print(f"{'trials':>6}  {'voxtune report':>14}  {'of CPU':>8}  {'report.html':>11}")
    for row in rows:
        seconds, cpu = row["median_seconds"], row["median_cpu_seconds"]
        print(f"{row['trials']:>6}  {seconds:>12.1f} s  {cpu:>6.1f} s  {row['page_mb']:>8.2f} MB")
    record = {"reports": rows, "environment": describe_environment()}
    path = RESULTS / f"report_page-{date.today()}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"Wrote {path}")


if __name__ == "__main__":
    main()
