"""A sweep that something will happen to: its files, its drivers one after another, and what its trials do meanwhile."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil
import yaml
from optuna.trial import FrozenTrial, TrialState

from faults.places import PATH, Place, until
from faults.trainables import ADVANCES, STRUCK
from tuner.directory import SweepDirectory
from tuner.errors import StudyError
from tuner.results import read_results

Kind = Literal["toy", "phantom"]

PATIENCE = 1200.0
"""Seconds that a driver may take, on a machine that others use too."""

RAY_STARTS = 5
RAY_TOO_SLOW = "Ray can't be started on this machine: "
"""Ray gives itself 30 s to start, which is little where others use the machine too: no fault of ours, nor a result."""

TRIALS: dict[Kind, int] = {"toy": 5, "phantom": 4}

SWEEPS: dict[Kind, dict[str, Any]] = {
    "toy": {
        "training": {"seconds_per_rung": 2.0, "ballast": 1},
        "space": {
            "learning_rate": {"float": [1e-5, 1e-1], "log": True},
            "batch_size": {"choice": [1, 2, 4, 8]},
        },
        "budget": {"maximum": 900, "unit": "steps"},
        "search": {"trials": TRIALS["toy"], "sampler": "random"},
    },
    "phantom": {
        "training": {
            "width": 4,
            "levels": 2,
            "batch_size": 1,
            "patch_size": 16,
            "precision": "fp32",
            "memory_format": "contiguous",
        },
        "space": {"learning_rate": {"float": [3e-3, 3e-2], "log": True}},
        "budget": {"maximum": 180, "unit": "steps"},
        "search": {"trials": TRIALS["phantom"], "sampler": "random"},
    },
}

MODULE = """
import sys
from pathlib import Path

sys.path.append({benchmarks!r})

from faults.trainables import WatchedSegmentation, WatchedToy


class Run({base}):
    FOLDER = Path({folder!r})
"""


@dataclass
class FaultSweep:
    """One sweep."""

    place: Place
    kind: Kind
    shared: Path
    """A folder that all its processes see."""

    work: Path
    """The folder that its drivers run in, as they see it."""

    data: Path | None = None
    """The phantom data set, for the kind that trains on it."""

    changes: dict[str, Any] = field(default_factory=dict)
    """Of the sweep file."""

    runs_folder: Path | None = None
    """Where sweeps' directories are, if not in `work`."""

    environment: dict[str, str] = field(default_factory=dict)
    """Of the drivers, besides what this process has."""

    drivers: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    family: dict[int, psutil.Process] = field(default_factory=dict)
    """Processes below our drivers, as far as they were seen."""

    finished: dict[int, FrozenTrial] = field(default_factory=dict)
    """Trials that had ended when last looked at."""

    changed: list[int] = field(default_factory=list)
    """Trials that had ended and then were not what they were."""

    def write(self) -> None:
        """Put its files where they belong."""
        self.shared.mkdir(parents=True, exist_ok=True)
        base = "WatchedToy" if self.kind == "toy" else "WatchedSegmentation"
        sweep = {
            "name": "broken",
            "trainable": "chaos_run:Run",
            "confirm": {"top": 0},
            **SWEEPS[self.kind],
            **({"dataset": {"path": str(self.data)}} if self.kind == "phantom" else {}),
        }
        for key, value in self.changes.items():
            sweep[key] = {**sweep.get(key, {}), **value} if isinstance(value, dict) else value
        self.place.seen(self.work).mkdir(parents=True, exist_ok=True)
        module = MODULE.format(base=base, folder=str(self.shared), benchmarks=str(Path(__file__).parents[1]))
        self.place.write(self.work, "chaos_run.py", module)
        self.place.write(self.work, "sweep.yaml", yaml.safe_dump(sweep))

    @property
    def directory(self) -> SweepDirectory:
        return SweepDirectory(self.place.seen(self.runs) / "broken")

    @property
    def runs(self) -> Path:
        return self.runs_folder or self.work / "runs"

    def drive(self, *wrapped_by: str) -> None:
        """Start a driver: the first begins the sweep, the others resume it."""
        begun = self.directory.sweep_file.is_file()
        what = ["resume", self.runs / "broken"] if begun else ["run", "sweep.yaml", "--runs", self.runs]
        command = [*wrapped_by, sys.executable, "-m", "tuner.cli", *what, *self.place.address]
        environment = {**os.environ, "PYTHONPATH": f"{self.work}{os.pathsep}{PATH}", "OMP_NUM_THREADS": "1"}
        with self.output_file(len(self.drivers)).open("wb") as output:
            self.drivers.append(
                subprocess.Popen(
                    self.place.command(self.work, *command),
                    cwd=self.work if self.work.is_dir() else None,
                    env={**environment, **self.place.environment, **self.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    process_group=0,
                    preexec_fn=_as_at_a_prompt,
                )
            )

    def output_file(self, driver: int) -> Path:
        return self.shared / f"driver-{driver}.txt"

    @property
    def output(self) -> str:
        """What the last driver wrote."""
        return self.output_file(len(self.drivers) - 1).read_text(errors="replace")

    @property
    def driver(self) -> psutil.Process:
        """The last driver, itself: not what brought it to its host."""
        process = psutil.Process(self.drivers[-1].pid)
        while process.name() in ("nsenter", "env") and process.children():
            process = process.children()[0]
        return process

    def resume(self) -> int:
        """Go on with the sweep. Returns the exit code; tries again where Ray itself took too long to start."""
        for _ in range(RAY_STARTS):
            self.drive()
            code = self.wait()
            if RAY_TOO_SLOW not in self.output:
                break
        return code

    def ended(self) -> bool:
        return self.drivers[-1].poll() is not None

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait for the last driver. Returns its exit code; raises TimeoutError if it does not end."""
        until(self._look_until_ended, seconds=seconds, every=1.0, what="the driver does not end")
        self.compare()
        return int(self.drivers[-1].wait())

    def _look_until_ended(self) -> bool:
        self.see_family()
        return self.ended()

    def see_family(self) -> None:
        with suppress(psutil.NoSuchProcess):
            below = psutil.Process(self.drivers[-1].pid).children(recursive=True)
            self.family |= {process.pid: process for process in below}

    def trials(self) -> list[FrozenTrial]:
        try:
            return list(read_results(self.directory).sweep_trials)
        except (StudyError, OSError, ValueError):  # not begun
            return []

    def compare(self) -> None:
        """Note which ended trials are no longer what they were."""
        now = {trial.number: trial for trial in self.trials() if trial.state.is_finished()}
        if now or not self.finished:
            self.changed += [number for number, trial in self.finished.items() if now.get(number) != trial]
            self.finished = now

    def advances(self) -> list[dict[str, Any]]:
        file = self.shared / ADVANCES
        lines = file.read_text().splitlines() if file.is_file() else []
        return [json.loads(line) for line in lines]

    def training(self) -> list[dict[str, Any]]:
        """What trains at this moment: RUNNING in the study, its process alive and in the midst of `advance`."""
        open_by: dict[tuple[str, int], dict[str, Any]] = {}
        for entry in self.advances():
            key = entry["node"], entry["pid"]
            if entry["what"] == "end":
                open_by.pop(key, None)
            else:
                open_by[key] = entry
        running = {
            json.dumps(dict(self.parameters(trial)), sort_keys=True): trial.number
            for trial in self.trials()
            if trial.state == TrialState.RUNNING
        }
        return [
            {"trial": running[entry["trial"]], "pid": entry["pid"], "node": entry["node"], "since": entry["time"]}
            for entry in open_by.values()
            if entry["trial"] in running and self.place.process(entry["node"], entry["pid"])
        ]

    def parameters(self, trial: FrozenTrial) -> dict[str, Any]:
        fixed = {**SWEEPS[self.kind]["training"], **self.changes.get("training", {})}
        return {**{name: value for name, value in fixed.items() if name != "ballast"}, **trial.params}

    def struck_trial(self) -> int | None:
        """The trial that met the fault of plan.json."""
        file = self.shared / STRUCK
        if not file.is_file():
            return None
        known = {json.dumps(self.parameters(trial), sort_keys=True): trial.number for trial in self.trials()}
        return known.get(file.read_text())

    def rungs_begun(self) -> dict[str, Counter[float]]:
        """How often each trial began each rung."""
        found: dict[str, Counter[float]] = {}
        for entry in self.advances():
            if entry["what"] == "begin":
                found.setdefault(entry["trial"], Counter())[entry["budget"]] += 1
        return found

    def end(self) -> None:
        """End what is left of it: our own processes only."""
        for process in [*self.family.values(), *(psutil.Process(p.pid) for p in self.drivers if p.poll() is None)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for driver in self.drivers:
            driver.wait()


def _as_at_a_prompt() -> None:
    """Who starts the bench in the background has Ctrl-C ignored, by it and by all that it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
