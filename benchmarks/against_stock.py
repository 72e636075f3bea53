"""The same search by stock programs and by voxtune, in turn: turnaround, use of the slots, time to a good network.

    python benchmarks/against_stock.py ../shared/data/Task04_Hippocampus --group '(int(number) + 1) // 2' --folder DIR

Four sides, in each run one after another with the run's number as seed:

    stock    what a competent user writes from the tutorials of MONAI and Ray Tune (benchmarks/stock/tutorial.py)
    expert   the same with its cache shared, evaluation only where ASHA compares, processes kept (stock/expert.py)
    ours     voxtune with the same search: space, split, network, loss, optimizer, schedule, augmentation, Optuna's
             default sampler, ASHA at a ninth and a third
    new      voxtune as `voxtune new` writes it for this data set and machine

A full trial of `ours` sees as many voxels as stock's see in all epochs on the middle patch: ours counts a budget in
voxels, stock in epochs. Each side starts its own Ray. Clocks run from the command on, Ray's start (`ray.init`), which
is the same for all, left out and told apart. A search that lies complete in DIR is not run again.

Prints tables; writes benchmarks/results/against_stock-DATE-MACHINE.json. About 20 minutes a run on 2 cores.
"""

import argparse
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from stock.events import read_events
from stock.table import DICE, SIDES, medians, table
from stock.timelines import Timeline, ours_timeline, stock_timeline
from stock.tutorial import (
    BATCH_SIZES,
    EPOCHS,
    LEARNING_RATES,
    NETWORK,
    PATCH_SIZES,
    REDUCTION,
    SLOTS,
    SPACING,
    WARMUP,
    WEIGHT_DECAY,
)

from trainables.layouts import read_dataset
from trainables.split import Split, group_cases, split_cases
from tuner.api import SweepConfig, SweepDirectory, read_results
from tuner.environment import describe_environment

RESULTS = Path(__file__).parent / "results"
QUICK_CASES = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--group", help="as in a sweep file: keeps cases of one person on one side of the split")
    parser.add_argument("--folder", type=Path, required=True, help="where the searches are run; one begun goes on")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--minutes", type=float, default=4, help="of the search that `voxtune new` writes")
    parser.add_argument("--quick", action="store_true", help="few cases, trials and epochs: shows that all works")
    given = parser.parse_args()
    folder = given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    dataset = given.dataset.absolute()
    if given.quick:
        dataset = first_cases(dataset, folder / dataset.name, QUICK_CASES)
        given.trials, given.epochs, given.minutes = 4, REDUCTION, 1
    split = split_of(dataset, given.group)
    split_file = folder / "split.json"
    split_file.write_text(json.dumps(asdict(split)))
    new = proposed(dataset, given, folder)

    found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for seed in range(given.runs):
        for side in SIDES:
            where = folder / f"run-{seed}" / side
            if side in ("stock", "expert"):
                program = "tutorial" if side == "stock" else "expert"
                options: list[object] = [dataset, "--split", split_file, "--seed", seed]
                options += ["--trials", given.trials, "--epochs", given.epochs]
            else:
                program = "ours"
                config = new if side == "new" else same_search(dataset, given, len(split.train))
                options = [sweep_file(config, folder / f"{side}-{seed}.yaml", seed=seed, cache=where / "cache")]
            launched = run_side(program, options, where)
            timeline = read_timeline(side, where, launched=launched)
            if side == "ours":
                check_split(where, split)
            found[side].append({"seed": seed, **timeline.summary(dice=DICE), "timeline": asdict(timeline)})
            shown = {name: round(value, 3) for name, value in found[side][-1].items() if isinstance(value, float)}
            print(f"run {seed}, {side}: {shown}", flush=True)
        print("\n" + table(found) + "\n", flush=True)
    if not given.quick:
        write(found, given, new)


def first_cases(dataset: Path, folder: Path, cases: int) -> Path:
    """A folder with the first cases of a data set."""
    folder.mkdir(exist_ok=True)
    content = json.loads((dataset / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**content, "training": content["training"][:cases]}))
    for name in ("imagesTr", "labelsTr"):
        if not (folder / name).exists():
            (folder / name).symlink_to(dataset / name)
    return folder


def split_of(dataset: Path, group: str | None) -> Split:
    """The split that a sweep file with the same data set and group has."""
    return split_cases(group_cases(read_dataset(dataset).case_names, expression=group))


def proposed(dataset: Path, given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The sweep file that `voxtune new` writes."""
    file = folder / "new.yaml"
    if not file.exists():
        group = ["--group", given.group] if given.group else []
        arguments = ["new", dataset, "--trials", given.trials, "--minutes", given.minutes, *group, "-o", file]
        command = [sys.executable, "-m", "tuner.cli", *map(str, arguments)]
        subprocess.run(command, check=True, cwd=folder, env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")})
    return SweepConfig.read(file).model_dump(mode="json")


def same_search(dataset: Path, given: argparse.Namespace, train_cases: int) -> dict[str, Any]:
    """The sweep file of the search that the stock programs run."""
    patches = sorted(PATCH_SIZES, key=math.prod)
    return {
        "name": "same",
        "dataset": {"path": str(dataset), "group": given.group},
        "preprocessing": {"spacing": list(SPACING), "normalisation": "zscore"},
        "training": {
            "network": "compact_unet",
            **NETWORK,
            "loss": "dice_ce",
            "optimizer": "adamw",
            "weight_decay": WEIGHT_DECAY,
            "schedule": "cosine",
            "warmup": WARMUP,
            "weight_averaging": 0.0,
            "precision": "fp32",
            "foreground_fraction": 0.5,
            "flips": "x",
            "tilt": 0.0,
            "zoom": 0.0,
            "intensity_scale": 0.1,
            "intensity_shift": 0.1,
            "noise": 0.0,
        },
        "space": {
            "learning_rate": {"float": list(LEARNING_RATES), "log": True},
            "batch_size": {"choice": list(BATCH_SIZES)},
            "patch_size": {"choice": ["x".join(map(str, patch)) for patch in PATCH_SIZES]},
        },
        "budget": {
            "unit": "voxels",
            "maximum": given.epochs * train_cases * math.prod(patches[len(patches) // 2]),
            "first_rung": train_cases * math.prod(patches[len(patches) // 2]),
            "reduction": REDUCTION,
        },
        "search": {"trials": given.trials, "sampler": "optuna.samplers:TPESampler"},
        "resources": {"cpus_per_trial": 1, "trials_at_once": SLOTS},
    }


def sweep_file(content: Mapping[str, Any], file: Path, *, seed: int, cache: Path) -> Path:
    """`content` as a file, with this seed, an empty cache of its own, and nothing after the search."""
    search = {**content["search"], "seed": seed}
    changed = {**content, "search": search, "cache": str(cache), "confirm": {"top": 0}}
    file.write_text(SweepConfig.model_validate(changed).to_yaml())
    return file


def run_side(program: str, options: Sequence[object], folder: Path) -> float:
    """Run a program of `stock`, unless it has been run to its end. Returns when its command was given (Unix s)."""
    note = folder / "complete.json"
    if note.exists():
        return float(json.loads(note.read_text())["launched"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(exist_ok=True)
    output = folder.parent / f"{folder.name}.txt"
    command = [sys.executable, "-m", f"stock.{program}", *map(str, options), "--folder", str(folder)]
    launched = time.time()
    with output.open("w") as file:
        code = subprocess.run(
            command,
            cwd=folder.parent,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
            stdout=file,
            stderr=subprocess.STDOUT,
        ).returncode
    if code:
        sys.exit(f"{shlex.join(command)} ended with {code}; see {output}")
    shutil.rmtree(folder / "tune", ignore_errors=True)  # its checkpoints
    note.write_text(json.dumps({"launched": launched, "ended": time.time()}))
    return launched


def read_timeline(side: str, folder: Path, *, launched: float) -> Timeline:
    events = read_events(folder / "events.jsonl")
    if side in ("stock", "expert"):
        return stock_timeline(events, launched=launched, slots=SLOTS)
    return ours_timeline(read_results(sweep_of(folder)), events, launched=launched, slots=SLOTS)


def sweep_of(folder: Path) -> SweepDirectory:
    (root,) = (folder / "runs").iterdir()
    return SweepDirectory(root)


def check_split(folder: Path, split: Split) -> None:
    used = json.loads(sweep_of(folder).split_file.read_text())
    assert tuple(used["validation"]) == split.validation, "the sides validate on different cases"


def write(found: Mapping[str, Any], given: argparse.Namespace, new: Mapping[str, Any]) -> None:
    environment = describe_environment()
    group = f" --group '{given.group}'" if given.group else ""
    command = f"python benchmarks/against_stock.py {given.dataset.name}{group} --folder DIR --runs {given.runs}"
    content = {
        "dice": DICE,
        "medians": {side: medians(runs) for side, runs in found.items()},
        "runs": found,
        "new": {**new, "dataset": {**new["dataset"], "path": given.dataset.name}},
        "worker_niceness": os.environ.get("RAY_worker_niceness", "Ray's default"),  # noqa: SIM112 (its spelling)
        "environment": {**environment, "command": f"{command} --trials {given.trials} --epochs {given.epochs}"},
    }
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"against_stock-{date.today()}-{environment['cores']}-cores.json"
    file.write_text(json.dumps(content, indent=1) + "\n")
    print(f"written: {file}")


if __name__ == "__main__":
    main()
