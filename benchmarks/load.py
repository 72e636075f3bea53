"""What does much of everything cost: many trials, many slots, many cases, large cases?

    python benchmarks/load.py study [--trials 10000]    a study of so many toy trials: status, report, resume
    python benchmarks/load.py slots [--slots 128]       so many toy trials at once on a local Ray; each process holds
                                                        0.1 GiB, and 0.25 with torch, which toy trials go without
    python benchmarks/load.py cases [--cases 2000]      a data set of so many small cases: new, run, run again
    python benchmarks/load.py large [--cases 8]         cases of 512 x 512 x 400 voxels: new, run

Each command is timed as a user types it, imports included, with what its processes hold of memory at most: the sum over
them all of what each would free by its end (USS), and the driver's resident size alone. What one prints is kept to say
whether it showed progress. Puts what it found into benchmarks/results/load-DATE.json, where what the others found last
stays, and prints a table of it all.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import yaml
from large_data import voxels_of, write_large, write_many
from watched_command import timed

from trainables.protocol import Budget
from trainables.toy import ToyRun
from tuner.api import SweepDirectory, read_results
from tuner.config import SweepConfig
from tuner.environment import describe_environment
from tuner.rungs import FULL_BUDGET, SuccessiveHalving, rung_steps
from tuner.storage import open_storage
from tuner.study import DEFAULT_ORIGIN, SweepStudy
from tuner.utilisation import stints

RESULTS = Path(__file__).parent / "results"
STEPS = 900


def toy_sweep(name: str, **changes: Any) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "name": name,
            "trainable": "trainables.toy:ToyRun",
            "space": {
                "learning_rate": {"float": [1e-5, 1e-1], "log": True},
                "batch_size": {"choice": [1, 2, 4, 8]},
                "patch_size": {"int": [32, 192], "step": 16},
            },
            "default": {"learning_rate": 1e-2, "batch_size": 2, "patch_size": 64},
            "budget": {"unit": "steps", "maximum": STEPS},
            "confirm": {"top": 0},
            **changes,
        }
    )


def study(folder: Path, trials: int) -> dict[str, Any]:
    """A toy sweep that is nearly over, and what it takes to look at it and to go on."""
    config = toy_sweep("many", search={"trials": trials})
    root, made = folder / config.name, None
    if not root.exists():
        began = time.perf_counter()
        directory = SweepDirectory.create(root)
        directory.sweep_file.write_text(config.to_yaml())
        play(config, directory, trials)
        made = round(time.perf_counter() - began, 1)
    directory = SweepDirectory(root)
    commands = {
        "status": ["status", str(directory.root)],
        "report": ["report", str(directory.root)],
        "resume, 8 trials more": ["resume", str(directory.root), "--trials", str(trials + 8)],
        "report again": ["report", str(directory.root)],
    }
    measured = {name: timed(command, folder) for name, command in commands.items()}
    later = [trial for trial in read_results(directory).sweep_trials if trial.number >= trials]
    first = min(trial.datetime_start for trial in later if trial.datetime_start)
    resumed = measured["resume, 8 trials more"]
    resumed["seconds to the first trial"] = round(first.timestamp() - resumed["began"], 1)
    sizes = {path.name: path.stat().st_size for path in (directory.journal, directory.report / "report.html")}
    return {"trials": trials, "seconds to play it": made, "bytes": sizes, "commands": measured}


def play(config: SweepConfig, directory: SweepDirectory, trials: int) -> None:
    """Run toy trials one after another, judged by the sweep's rungs, without Ray."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.RandomSampler(seed=0)
    storage = open_storage(None, directory.journal, owner=True)
    played = SweepStudy.open(storage, "sweep", config.search_space, sampler=lambda number: sampler)
    played.enqueue(config.default, origin=DEFAULT_ORIGIN)
    played.plan(trials)
    rungs = SuccessiveHalving(rung_steps(config.budget.first_share, config.budget.reduction), config.budget.reduction)
    for _ in range(trials):
        proposal = played.ask()
        run = ToyRun(
            proposal.parameters, data={}, budget=Budget(unit="steps", maximum=STEPS), seed=proposal.seed, device="cpu"
        )
        for step in rungs.steps:
            began = time.time()
            found = run.advance(STEPS * step / FULL_BUDGET)
            stint = {"node": "here", "pid": 1, "began": began, "first_step": began, "ended": time.time()}
            played.report(
                proposal.number, step, found, stint={**stint, "start": 0.0, "advance": 0.0, "checkpoint": 0.0}
            )
            if step == FULL_BUDGET:
                played.finish(proposal.number, "full budget")
            elif rungs.judges(step) and not rungs.goes_on(proposal.number, played.scores_at(step)):
                played.finish(proposal.number, "stopped at rung")
                break


def slots(folder: Path, count: int) -> dict[str, Any]:
    """Toy trials of a minute on so many slots of a Ray of this machine's own."""
    trials = 4 * count
    config = toy_sweep(
        "wide",
        space={"learning_rate": {"float": [1e-5, 1e-1], "log": True}},
        default={"learning_rate": 1e-2},
        budget={"unit": "steps", "maximum": STEPS, "first_rung": STEPS},  # so that none ends before the last slot is up
        training={"seconds_per_rung": 60.0, "batch_size": 1, "patch_size": 32},  # that pretends to take no memory
        search={"trials": trials},
        resources={"cpus_per_trial": 2 / count, "trials_at_once": count},
    )
    (folder / "sweep.yaml").write_text(config.to_yaml())
    ran = timed(["run", "sweep.yaml", "--no-confirm"], folder)
    found = read_results(SweepDirectory.find(config.name, runs=folder / "runs")).sweep_trials
    frame = stints(found)
    moments = [(time, 1) for time in frame["began"]] + [(time, -1) for time in frame["ended"]]
    return {
        "slots": count,
        "trials": trials,
        "states": {
            state: sum(trial.state.name == state for trial in found) for state in ("COMPLETE", "PRUNED", "FAIL")
        },
        "most at once": int(np.cumsum([change for _, change in sorted(moments)]).max()),
        "seconds to the first trial": round(frame["began"].min() - ran["began"], 1),
        "seconds until all slots were up": round(frame.groupby("slot")["began"].min().max() - ran["began"], 1),
        "commands": {"run": ran},
    }


def cases(folder: Path, count: int) -> dict[str, Any]:
    """A data set of many small cases."""
    data = folder / "Many"
    if not data.exists():
        write_many(data, count)
    return {"cases": count, "voxels a case": voxels_of(data), "commands": new_and_run(folder, data, again=True)}


def large(folder: Path, count: int) -> dict[str, Any]:
    """Volumes as a whole-body CT has them: smooth shapes with noise, 16 bits, one organ."""
    data = folder / "Large"
    if not data.exists():
        write_large(data, count)
    return {"cases": count, "voxels a case": voxels_of(data), "commands": new_and_run(folder, data, again=False)}


def new_and_run(folder: Path, data: Path, *, again: bool) -> dict[str, Any]:
    """The draft, and the shortest of its sweeps: two trials that see few patches, each evaluated once."""
    (folder / "sweep.yaml").unlink(missing_ok=True)
    for made in ("runs", "cache"):
        shutil.rmtree(folder / made, ignore_errors=True)
    measured = {"new": timed(["new", str(data), "-o", "sweep.yaml", "--trials", "2"], folder)}
    content = yaml.safe_load((folder / "sweep.yaml").read_text())
    content["budget"] = {"unit": "steps", "maximum": 10}
    content["search"] = {**content["search"], "trials": 2, "sampler": "random", "stop_early": False}
    content["search"].pop("minutes", None)
    content["dataset"] = {**content["dataset"], "held_out": 1 / 8}
    content["dataset"].pop("folds", None)
    content["cache"] = str(folder / "cache")
    (folder / "sweep.yaml").write_text(yaml.safe_dump(content))
    measured["run"] = timed(["run", "sweep.yaml", "--name", "first", "--no-confirm"], folder)
    if again:
        measured["run again"] = timed(["run", "sweep.yaml", "--name", "second", "--no-confirm"], folder)
    return measured


MEASURES: Mapping[str, tuple[Callable[[Path, int], dict[str, Any]], str, int]] = {
    "study": (study, "--trials", 10_000),
    "slots": (slots, "--slots", 128),
    "cases": (cases, "--cases", 2_000),
    "large": (large, "--cases", 8),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="what")
    for name, (_, option, count) in MEASURES.items():
        one = commands.add_parser(name)
        one.add_argument(option, dest="count", type=int, default=count)
        one.add_argument(
            "--keep", type=Path, help="folder for all that is made; what an earlier call made there is used"
        )
    given = parser.parse_args()
    measure, option, _ = MEASURES[given.what]
    with tempfile.TemporaryDirectory() as temporary:
        found = measure((given.keep or Path(temporary)).absolute(), given.count)
    path = RESULTS / f"load-{date.today()}.json"
    earlier = sorted(RESULTS.glob("load-*.json"))
    known = json.loads(earlier[-1].read_text()) if earlier else {}
    command = f"python benchmarks/load.py {given.what} {option} {given.count}"
    known[given.what] = {**found, "command": command, "measured": str(date.today())}
    said = [known[what]["command"] for what in MEASURES if what in known]
    known["environment"] = {**describe_environment(), "command": "; ".join(said)}
    path.write_text(json.dumps(known, indent=1) + "\n")
    for older in set(earlier) - {path}:
        older.unlink()
    print(table(known))


def table(known: Mapping[str, Any]) -> str:
    rows = ["| what | command | seconds | driver GiB | all processes GiB |", "| --- | --- | --- | --- | --- |"]
    for what, found in ((what, known[what]) for what in MEASURES if what in known):
        size = next(iter(found.values()))
        for name, one in found["commands"].items():
            rows.append(
                f"| {size} {what if what != 'study' else 'trials'} | {name} | {one['seconds']:.1f} | "
                f"{one[GIB[0]]:.2f} | {one[GIB[1]]:.2f} |"
            )
    return "\n".join(rows)


GIB = ("driver's GiB", "all processes' GiB")


if __name__ == "__main__":
    main()
