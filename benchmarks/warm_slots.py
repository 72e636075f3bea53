"""What a trial costs beside itself: many trials of a toy that only sleeps, through warm slots.

    python benchmarks/warm_slots.py

Prints, and writes to benchmarks/results/warm_slots-DATE-MACHINE.json, the time a trial beyond the toy's own sleep
(slots' time, from the first trial's begin to the last one's end, less all sleep, over the trials), the turnaround (end
of a trial to the next one's first step in the same slot), the resident memory of the slots' processes when trial 20 and
when the last trial had ended, and how much of the time all slots had a trial at once.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import yaml

from tuner.api import SweepDirectory, read_results
from tuner.environment import describe_environment
from tuner.utilisation import stints

RESULTS = Path(__file__).parent / "results"
WARM_AT = 20
"""The trial after which the processes' memory should grow no more."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--sleep", type=float, default=0.1, help="seconds a rung")
    parser.add_argument("--sampler", default="gp")
    given = parser.parse_args()

    with TemporaryDirectory() as folder:
        frame, memory = sweep(given, Path(folder))
    environment = describe_environment()
    found: dict[str, Any] = {
        **times(frame, given.sleep),
        **memory,
        "environment": environment,
        "command": f"python benchmarks/warm_slots.py --trials {given.trials} --sleep {given.sleep} "
        f"--sampler {given.sampler}",
    }
    for name, value in found.items():
        if isinstance(value, float | int):
            print(f"{name:<45} {value:.4g}")
    draw(frame)
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"warm_slots-{time.strftime('%Y-%m-%d')}-{environment['cores']}-cores.json"
    slots = frame.assign(**{name: (frame[name] - frame["began"].min()).round(3) for name in ("began", "ended")})
    found["timeline"] = slots[["number", "slot", "began", "ended"]].to_dict("list")
    file.write_text(json.dumps(found, indent=1, default=str) + "\n")
    print(f"written: {file}")


def sweep(given: argparse.Namespace, folder: Path) -> tuple[pd.DataFrame, dict[str, float]]:
    """Run it by the command line. The stints, and what memory the slots' processes took."""
    config = {
        "name": "toy",
        "trainable": "trainables.toy:ToyRun",
        "space": {
            "learning_rate": {"float": [1e-5, 1e-1], "log": True},
            "batch_size": {"choice": [1, 2, 4, 8]},
            "seconds_per_rung": given.sleep,
        },
        "budget": {"unit": "steps", "maximum": 100},
        "search": {"trials": given.trials, "sampler": given.sampler},
        "confirm": {"top": 0},
    }
    (folder / "sweep.yaml").write_text(yaml.safe_dump(config))
    samples: list[tuple[float, int, float]] = []
    with subprocess.Popen(
        [sys.executable, "-m", "tuner.cli", "run", "sweep.yaml"], cwd=folder, stdout=subprocess.DEVNULL
    ) as process:
        watcher = threading.Thread(target=watch_memory, args=(process, samples))
        watcher.start()
        process.wait()
        watcher.join()
    if process.returncode:
        sys.exit(f"voxtune run ended with {process.returncode}")
    trials = read_results(SweepDirectory.find("toy", runs=folder / "runs")).sweep_trials
    return stints(trials), memory_at(samples, stints(trials))


def watch_memory(process: subprocess.Popen, samples: list[tuple[float, int, float]]) -> None:
    """Note Unix time, process and private MiB of all `ray::` trial processes, until the driver ends."""
    while process.poll() is None:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if (folder / "cmdline").read_bytes().startswith(b"ray::TrialActor"):
                    lines = (folder / "smaps_rollup").read_text().splitlines()
                    private = sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
                    samples.append((time.time(), int(folder.name), private / 1024))
            except OSError:  # it ended meanwhile
                continue
        time.sleep(0.5)


def memory_at(samples: list[tuple[float, int, float]], frame: pd.DataFrame) -> dict[str, float]:
    """Private MiB of each slot's process when trial WARM_AT, and when its last trial, had ended."""
    known = pd.DataFrame(samples, columns=["time", "pid", "mib"])
    found = {}
    for slot, stretch in frame.groupby("slot"):
        of_slot = known[known["pid"] == stretch["pid"].iloc[0]]
        for name, ended in (
            (f"trial {WARM_AT}", frame["ended"].sort_values().iloc[WARM_AT]),
            ("last trial", stretch["ended"].max()),
        ):
            nearest = (of_slot["time"] - ended).abs().idxmin()
            found[f"MiB of slot {slot} at {name}"] = float(of_slot["mib"][nearest])
    return found


def times(frame: pd.DataFrame, sleep: float) -> dict[str, float]:
    slots = frame.groupby("slot").agg(began=("began", "min"), ended=("ended", "max"))
    seconds = float((slots["ended"] - slots["began"]).sum())
    slept = float(frame["advance"].sum())
    together = max(0.0, slots["ended"].min() - slots["began"].max())
    return {
        "trials": len(frame),
        "slots": len(slots),
        "seconds from first begin to last end": float(frame["ended"].max() - frame["began"].min()),
        "seconds a trial beyond its sleep": (seconds - slept) / len(frame),
        "turnaround, median (s)": float(frame["turnaround"].median()),
        "turnaround, 95th percentile (s)": float(frame["turnaround"].quantile(0.95)),
        "share of the time that all slots were open": together / float(frame["ended"].max() - frame["began"].min()),
        "share of the time that all slots ran a trial": all_busy(frame),
        "sleep (s a rung)": sleep,
    }


def all_busy(frame: pd.DataFrame) -> float:
    """Of the time from first begin to last end, the share in which every slot had a trial, by instants."""
    instants = np.linspace(frame["began"].min(), frame["ended"].max(), 20_000)
    busy = np.ones(len(instants), bool)
    for _, stretch in frame.groupby("slot"):
        row = np.searchsorted(stretch["began"].to_numpy(), instants, side="right") - 1
        busy &= (row >= 0) & (instants < stretch["ended"].to_numpy()[np.maximum(row, 0)])
    return float(busy.mean())


def draw(frame: pd.DataFrame, *, columns: int = 100, seconds: float = 5.0) -> None:
    """The slots' first seconds as text: a trial is a run of its number's last digit."""
    first = frame["began"].min()
    for slot, stretch in frame.groupby("slot"):
        line = [" "] * columns
        for number, *moments in stretch[["number", "began", "ended"]].to_numpy().tolist():
            begin, end = (int((moment - first) / seconds * columns) for moment in moments)
            line[begin:end] = str(int(number) % 10) * (min(end, columns) - min(begin, columns))
        print(f"slot {slot}, first {seconds:g} s: {''.join(line)}")


if __name__ == "__main__":
    main()
