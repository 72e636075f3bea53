"""How a search scales with the number of slots: real Ray and a real driver, training replaced by waiting.

    python benchmarks/scaling.py record ../shared/data/Task04_Hippocampus --group '(int(number) + 1) // 2'
    python benchmarks/scaling.py replay benchmarks/results/recorded_trials-Task04_Hippocampus.json
    python benchmarks/scaling.py model benchmarks/results/scaling-DATE.json

`record` trains random configurations, none of them stopped, and writes what each took and scored at each rung.

`replay` runs a sweep of these trials on 1 to 32 slots: each waits for as long as it was recorded to take, and the
sweep's own rule stops them by what they were recorded to score, so that two cores hold 32 slots. It prints the time
from the first trial's begin to the last one's end beside that of a list schedule of the same durations without any
overhead, and the share of a core that the driver takes.

`model` fits the model of `tuner.cluster_model` to the searches on at most 4 slots, says how far it is off on the
others, and goes on to 1,024 slots, with and without early stopping; it writes a page with a picture.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml
from scaling_page import write_page

from tuner.api import SweepDirectory, read_results
from tuner.cluster_model import Observed, TrialTimes, fit_overheads, list_schedule, simulate
from tuner.cpu_watch import CpuWatch, watched_cpu
from tuner.environment import describe_environment
from tuner.rungs import SuccessiveHalving, rung_steps
from tuner.utilisation import stints

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
CORES_HELD = 2
"""Of Ray, divided among the slots: waiting takes none."""

FITTED_ON = 4
"""The model is fitted to searches on at most so many slots."""

LENGTHENED = 60.0
"""What takes ten seconds here takes ten minutes on a GPU."""

RUNGS = SuccessiveHalving(rung_steps(1 / 9, 3), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    recording = commands.add_parser("record")
    recording.add_argument("dataset", type=Path)
    recording.add_argument("--group")
    recording.add_argument("--trials", type=int, default=128)
    recording.add_argument("--minutes", type=float, default=3)
    recording.add_argument("--held-out", type=float, default=0.08, help="share of the cases that validates")
    recording.set_defaults(run=record)
    replaying = commands.add_parser("replay")
    replaying.add_argument("recording", type=Path)
    replaying.add_argument("--slots", type=int, nargs="+", default=[32, 16, 8, 4, 2, 1])
    replaying.add_argument("--scale", type=float, default=1.0, help="of the recorded seconds")
    replaying.set_defaults(run=lambda given: replay(given.recording.absolute(), given.slots, given.scale))
    modelling = commands.add_parser("model")
    modelling.add_argument("result", type=Path)
    modelling.add_argument(
        "--proposal",
        type=float,
        default=0.03,
        help="seconds of a sampler that learns: what `gp` takes at 300 to 500 trials",
    )
    modelling.set_defaults(run=lambda given: model(given.result, given.proposal))
    given = parser.parse_args()
    given.run(given)


def record(given: argparse.Namespace) -> None:
    """Train random configurations to the end, and write what each took and scored."""
    dataset = given.dataset.absolute()
    with TemporaryDirectory() as folder:
        new = [
            "new",
            str(dataset),
            "-o",
            "sweep.yaml",
            "--trials",
            str(given.trials),
            "--minutes",
            f"{given.minutes:g}",
        ]
        new += ["--held-out", str(given.held_out), *(["--group", given.group] if given.group else [])]
        voxtune(new, Path(folder))
        file = Path(folder) / "sweep.yaml"
        config = yaml.safe_load(file.read_text())
        config["search"].update(stop_early=False, sampler="random")
        file.write_text(yaml.safe_dump({**config, "name": "recorded", "confirm": {"top": 0}}))
        voxtune(["run", "sweep.yaml"], Path(folder))
        found = read_results(SweepDirectory.find("recorded", runs=Path(folder) / "runs")).sweep_trials
    curves = [rungs_of(trial.user_attrs["evaluations"]) for trial in found if trial.state.name == "COMPLETE"]
    result = RESULTS / f"recorded_trials-{dataset.name}.json"
    command = f"python benchmarks/scaling.py record {dataset.name} --trials {given.trials} --minutes {given.minutes:g}"
    environment = {**describe_environment(), "command": command}  # without folders
    result.write_text(json.dumps({"trials": curves, "environment": environment}, indent=1) + "\n")
    print(
        f"{len(curves)} trials, {sum(rung['seconds'] for curve in curves for rung in curve):.0f} s; written: {result}"
    )


def rungs_of(evaluations: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """Of each rung its step, the seconds since the one before, and the score."""
    total = [evaluation["training_seconds"] + evaluation["evaluation_seconds"] for evaluation in evaluations]
    seconds = np.diff(total, prepend=0.0).tolist()
    return [
        {"step": evaluation["step"], "seconds": spent, "score": evaluation["score"]}
        for evaluation, spent in zip(evaluations, seconds, strict=True)
    ]


def replay(recording: Path, counts: Sequence[int], scale: float) -> None:
    """Search over the recorded trials on each number of slots."""
    file = RESULTS / f"scaling-{date.today()}.json"
    command = f"python benchmarks/scaling.py replay {recording.name} --scale {scale:g}"
    result: dict[str, Any] = {
        "recording": recording.name,
        "scale": scale,
        "searches": [],
        "environment": {**describe_environment(), "command": command},
        "trials": json.loads(recording.read_text())["trials"],
    }
    for slots in counts:
        result["searches"].append(search(recording, slots, scale, len(result["trials"])))
        print(line(result["searches"][-1]), flush=True)
        file.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written: {file}")


def search(recording: Path, slots: int, scale: float, trials: int) -> dict[str, Any]:
    """One search on so many slots, by the command line."""
    config = {
        "name": "replayed",
        "trainable": "replay:ReplayRun",
        "training": {"recording": str(recording), "scale": scale},
        "space": {"trial": {"int": [0, trials - 1]}},
        "budget": {"unit": "steps", "maximum": 1000},
        "search": {"trials": trials, "sampler": "grid"},
        "resources": {"cpus_per_trial": CORES_HELD / slots, "trials_at_once": slots},
        "confirm": {"top": 0},
    }
    with TemporaryDirectory() as folder:
        file = Path(folder) / "sweep.yaml"
        file.write_text(yaml.safe_dump(config))
        driver = voxtune(["run", str(file), "--runs", folder], HERE)
        found = read_results(SweepDirectory.find("replayed", runs=Path(folder))).sweep_trials
    frame = stints(found)
    began, ended = frame["began"].min(), frame["ended"].max()
    order = frame.sort_values("began")["number"]
    waited = {trial.number: trial.user_attrs["evaluations"][-1]["training_seconds"] for trial in found}
    durations = [waited[number] for number in order]
    return {
        "slots": slots,
        "opened": int(frame["slot"].nunique()),
        "seconds": ended - began,
        "bound": list_schedule(durations, slots),
        "durations": durations,
        "trials": [found[number].params["trial"] for number in order],
        "reports": sum(len(trial.user_attrs["evaluations"]) for trial in found),
        "turnaround": median(frame["turnaround"].dropna()),
        "driver_seconds": driver.seconds(began, ended),
    }


def voxtune(arguments: Sequence[str], folder: Path) -> CpuWatch:
    """Run a voxtune command. Returns what it took of the processor."""
    with (
        subprocess.Popen(
            [sys.executable, "-m", "tuner.cli", *arguments], cwd=folder, stdout=subprocess.DEVNULL
        ) as process,
        watched_cpu(process.pid) as driver,
    ):
        process.wait()
    if process.returncode:
        sys.exit(f"voxtune {' '.join(arguments)} ended with {process.returncode}")
    return driver


def line(found: dict[str, Any]) -> str:
    return (
        f"{found['slots']:3} slots ({found['opened']} opened): {found['seconds']:.1f} s, without overhead "
        f"{found['bound']:.1f} s, {found['seconds'] / found['bound'] - 1:+.1%}; driver "
        f"{found['driver_seconds'] / found['seconds']:.1%} of a core"
    )


def model(file: Path, proposal: float) -> None:
    """Fit the model to the smallest searches, test it on the others, go on to 1,024 slots."""
    result = json.loads(file.read_text())
    by_slots = {search["slots"]: search for search in result["searches"]}
    fitted = fit_overheads([observed(search) for slots, search in by_slots.items() if slots <= FITTED_ON])
    tested = {
        slots: simulate(times_of(result, search["trials"]), slots=slots, overheads=fitted, rungs=RUNGS)
        for slots, search in by_slots.items()
    }
    learning = replace(fitted, proposal=fitted.proposal + proposal)
    ways = {
        "every trial to the end": (fitted, None, 1.0),
        "with early stopping": (fitted, RUNGS, 1.0),
        f"with early stopping, {proposal:g} s more a proposal": (learning, RUNGS, 1.0),
        f"the same, trials {LENGTHENED:g} times as long": (learning, RUNGS, LENGTHENED),
    }
    further = [
        (said, simulate(many(result, by_slots, slots, factor), slots=slots, overheads=overheads, rungs=rungs))
        for said, (overheads, rungs, factor) in ways.items()
        for slots in (32, 64, 128, 256, 512, 1024)
    ]
    page = file.with_suffix(".md")
    write_page(page, result, fitted=fitted, fitted_on=FITTED_ON, tested=tested, further=further)
    print(page.read_text())


def many(result: dict[str, Any], by_slots: dict[int, dict[str, Any]], slots: int, factor: float) -> list[TrialTimes]:
    """Four trials a slot at least: the recorded ones over and over, so many times as long."""
    recorded = times_of(result, by_slots[max(by_slots)]["trials"])
    longer = [
        TrialTimes(seconds=tuple(factor * one for one in trial.seconds), scores=trial.scores) for trial in recorded
    ]
    return longer * max(1, 4 * slots // len(longer))


def observed(search: dict[str, Any]) -> Observed:
    return Observed(
        slots=search["slots"],
        seconds=search["seconds"],
        durations=tuple(search["durations"]),
        answers=search["reports"] + len(search["durations"]),
        driver_seconds=search["driver_seconds"],
    )


def times_of(result: dict[str, Any], order: Sequence[int]) -> list[TrialTimes]:
    """The recorded trials in this order."""
    return [
        TrialTimes(
            seconds=tuple(result["scale"] * rung["seconds"] for rung in result["trials"][trial]),
            scores=tuple(rung["score"] for rung in result["trials"][trial]),
        )
        for trial in order
    ]


if __name__ == "__main__":
    main()
