"""The main job on real data, by the commands a user types: how long, how good, how much memory.

    python benchmarks/main_job.py ../shared/data/Task04_Hippocampus --group '(int(number) + 1) // 2'

Runs `voxtune new`, `run`, `train` on the best configuration, and `evaluate` on the validation cases; prints a table and
writes benchmarks/results/main_job-DATE-MACHINE.json. Stated beside it: what a competent user gets from the MONAI and
Ray Tune tutorials with 16 trials on Task04_Hippocampus and 2 cores, measured earlier: Dice 0.853 in 458 s.

The Dice that `evaluate` writes is compared with one computed here from the files alone (nibabel and numpy), for the
labels that `voxtune predict` writes. Memory is the kernel's peak resident set of each process, pages that processes
share counted in each.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import yaml

from tuner.api import SweepDirectory, read_results
from tuner.environment import describe_environment

VOXTUNE = [sys.executable, "-m", "tuner.cli"]
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--group")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--folder", type=Path, required=True, help="where the sweep is run; new or empty")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    dataset = given.dataset.absolute()

    group = ["--group", given.group] if given.group else []
    arguments = ["--trials", given.trials, "--minutes", given.minutes, *group]
    new_seconds, _ = timed("new", dataset, *arguments, folder=given.folder)
    config = yaml.safe_load((given.folder / "sweep.yaml").read_text())
    run_seconds, memory = timed("run", "sweep.yaml", folder=given.folder)

    directory = SweepDirectory.find(config["name"], runs=given.folder / "runs")
    results = read_results(directory)
    split = json.loads(directory.split_file.read_text())
    best = results.best
    assert best is not None
    timed("train", directory.best_config, "-o", "again", folder=given.folder)
    again = json.loads((given.folder / "again" / "scores.json").read_text())["dice"]
    found = {
        "dataset": dataset.name,
        "search_seconds": search_seconds(results.trials),
        "new_seconds": new_seconds,
        "run_seconds": run_seconds,
        "best_trial_of_search": results.standings[0].number,
        "best_dice_of_search": results.standings[0].score,
        "chosen_trial": best.number,
        "chosen_dice_by_seed": {run.seed: run.score for run in best.runs},
        "model_dice": best.run.score,
        "trained_again_dice": again,
        "numpy_difference": numpy_difference(directory, dataset, split["validation"], given.folder),
        "peak_memory_mib": memory,
        "seconds_training": float(results.trials["training_seconds"].sum()),
        "seconds_evaluating": float(results.trials["evaluation_seconds"].sum()),
        "validation_cases": split["validation"],
        "trials": json.loads(results.trials.drop(columns=["error"]).to_json(orient="records")),
        # Without the folders of the machine that it ran on.
        "sweep": {**config, "dataset": {**config["dataset"], "path": dataset.name}},
        "environment": {**describe_environment(), "command": command(given)},
    }
    report(found)
    RESULTS.mkdir(exist_ok=True)
    machine = f"{found['environment']['cores']}-cores"
    file = RESULTS / f"main_job-{dataset.name}-{time.strftime('%Y-%m-%d')}-{machine}.json"
    file.write_text(json.dumps(found, indent=1, default=str) + "\n")
    print(f"written: {file}")


def command(given: argparse.Namespace) -> str:
    """What was typed, without folders."""
    group = f" --group '{given.group}'" if given.group else ""
    return (
        f"python benchmarks/main_job.py {given.dataset.name}{group} --trials {given.trials} --minutes {given.minutes:g}"
    )


def timed(*arguments: object, folder: Path) -> tuple[float, dict[str, float]]:
    """Run a voxtune command; seconds, and the peak resident MiB of it and of Ray's trial processes."""
    started = time.monotonic()
    with subprocess.Popen([*VOXTUNE, *map(str, arguments)], cwd=folder) as process:
        peaks: dict[str, float] = {}
        watcher = threading.Thread(target=watch_memory, args=(process, peaks))
        watcher.start()
        process.wait()
        watcher.join()
    if process.returncode:
        sys.exit(f"voxtune {arguments[0]} ended with {process.returncode}")
    return time.monotonic() - started, peaks


def watch_memory(process: subprocess.Popen, peaks: dict[str, float]) -> None:
    """Note the peaks of the driver and of all `ray::` trial processes, by process, until the driver ends."""
    while process.poll() is None:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                number = int(folder.name)
                if number != process.pid and not command.startswith("ray::TrialActor"):
                    continue
                status = (folder / "status").read_text()
            except OSError:  # it ended meanwhile
                continue
            name = "driver" if number == process.pid else f"trial process {number}"
            peak = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")), "0")
            peaks[name] = max(peaks.get(name, 0.0), int(peak) / 1024)
        time.sleep(0.5)


def search_seconds(trials: pd.DataFrame) -> float:
    """From the first trial's start to the last one's end; the confirm stage is not part of it."""
    return float((trials["ended"].max() - trials["started"].min()).total_seconds())


def voxels(file: Path) -> np.ndarray:
    image: Any = nib.load(file)
    return np.asarray(image.dataobj)


def numpy_difference(directory: SweepDirectory, dataset: Path, cases: list[str], folder: Path) -> float:
    """The largest difference between the Dice that `evaluate` writes and that of `predict`'s labels by numpy."""
    model = directory.best_model
    timed("evaluate", model, dataset, "--cases", directory.split_file, "-o", "dice.csv", folder=folder)
    images = [next((dataset / "imagesTr").glob(f"{case}.nii*")) for case in cases]
    timed("predict", model, *images, "-o", "labels", folder=folder)
    names = {name: int(value) for value, name in json.loads((dataset / "dataset.json").read_text())["labels"].items()}
    table = pd.read_csv(folder / "dice.csv").set_index(["case", "class"])["dice"]
    differences = []
    for case, image in zip(cases, images, strict=True):
        truth, predicted = voxels(dataset / "labelsTr" / image.name), voxels(folder / "labels" / image.name)
        for name in table.loc[case].index:
            a, b = truth == names[name], predicted == names[name]
            dice = 2 * (a & b).sum() / (a.sum() + b.sum()) if a.any() or b.any() else 1.0
            differences.append(abs(dice - table.loc[(case, name)]))
    return float(max(differences))


def report(found: dict) -> None:
    spread = ", ".join(f"{dice:.4f}" for dice in found["chosen_dice_by_seed"].values())
    rows = {
        "voxtune new": f"{found['new_seconds']:.1f} s",
        "search, first start to last end": f"{found['search_seconds']:.0f} s",
        "whole run, with Ray's start, confirm and report": f"{found['run_seconds']:.0f} s",
        "best mean foreground Dice of the search": f"{found['best_dice_of_search']:.4f}",
        f"chosen trial {found['chosen_trial']}, by seed": spread,
        "its model trained again by `voxtune train`": f"{found['trained_again_dice']:.4f}",
        "  difference": f"{abs(found['trained_again_dice'] - found['model_dice']):.6f}",
        "largest difference to Dice by numpy": f"{found['numpy_difference']:.1e}",
        "training of all trials": f"{found['seconds_training']:.0f} s",
        "evaluation of all trials": f"{found['seconds_evaluating']:.0f} s",
        **{f"peak memory of {name}": f"{mib:.0f} MiB" for name, mib in found["peak_memory_mib"].items()},
    }
    print()
    for name, value in rows.items():
        print(f"{name:<50} {value}")


if __name__ == "__main__":
    main()
