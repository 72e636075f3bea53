"""What is lost when the driver of a sweep is killed? Sweeps of toy runs, killed by SIGKILL again and again and resumed.

    python benchmarks/kills.py --kills 20

Each sweep has 12 trials under ASHA, two at a time, and is killed up to five times: at random moments, and in the middle
of writes. Inside a study write: the journal's lock stands, and still stands after the kill. Inside a checkpoint write:
a half-written state lies in a trial's folder, and still lies there; the trial's process is killed with the driver then,
as when a machine stops. Then one sweep with one trial at a time is killed four times, and compared with the same sweep
undisturbed. Prints a table and writes benchmarks/results/kills-DATE.json.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from optuna.trial import FrozenTrial, TrialState

from trainables.protocol import Evaluation
from trainables.toy import ToyRun
from tuner.directory import SweepDirectory
from tuner.environment import describe_environment
from tuner.errors import StudyError
from tuner.results import read_results

TRIALS = 12
RESULTS = Path(__file__).parent / "results"
Moment = Literal["any", "study write", "checkpoint write"]
ADVANCES = "VOXTUNE_BENCHMARK_ADVANCES"
"""The environment variable that names the file where trials say what they do."""

PATIENCE = 240.0
"""Seconds that a sweep may take to get somewhere."""


class CountedToy(ToyRun):
    """A toy run that says when it advances, and whose state takes a while to write."""

    def advance(self, budget: float) -> Evaluation:
        trial = json.dumps(self._parameters, sort_keys=True)
        with Path(os.environ[ADVANCES]).open("a") as file:
            file.write(json.dumps({"trial": trial, "budget": budget, "pid": os.getpid()}) + "\n")
        return super().advance(budget)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "ballast": torch.ones(2**24)}


@dataclass
class KilledSweep:
    """A sweep whose drivers come and go."""

    folder: Path
    trials_at_once: int
    kills: list[dict[str, Any]] = field(default_factory=list)
    finished: dict[int, FrozenTrial] = field(default_factory=dict)
    """What had ended before some kill, as it was then."""

    faults: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        sweep = {
            "name": "killed",
            "trainable": f"{Path(__file__).stem}:CountedToy",
            "training": {"seconds_per_rung": 0.5},
            "space": {
                "learning_rate": {"float": [1e-5, 1e-1], "log": True},
                "batch_size": {"choice": [1, 2, 4, 8]},
                "patch_size": {"int": [32, 128], "step": 32},
            },
            "budget": {"maximum": 900, "unit": "steps"},
            "search": {"trials": TRIALS, "startup_trials": 3},
            "confirm": {"top": 0},
            "resources": {"trials_at_once": self.trials_at_once},
        }
        (self.folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))
        self.sessions: list[Path] = []

    @property
    def directory(self) -> SweepDirectory:
        return SweepDirectory(self.folder / "runs" / "killed")

    def drive(self) -> subprocess.Popen[str]:
        """A driver: the first begins the sweep, the others resume it."""
        begun = self.directory.sweep_file.is_file()
        arguments = ["resume", "killed"] if begun else ["run", "sweep.yaml"]
        self.sessions.append(self.folder / f"advances-{len(self.sessions)}.jsonl")
        return subprocess.Popen(
            [sys.executable, "-m", "tuner.cli", *arguments],
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[:2])),
                ADVANCES: str(self.sessions[-1]),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def kill_once(self, moment: Moment, delay: float) -> bool:
        """Drive the sweep and kill its driver so many seconds after its trials began; False if it ended before."""
        driver = self.drive()
        until(lambda: self.sessions[-1].is_file() or driver.poll() is not None, every=0.05)
        end = time.monotonic() + delay
        until(lambda: (time.monotonic() > end and self._is(moment)) or driver.poll() is not None)
        if driver.poll() is not None:
            self._end(driver)
            return False
        driver.kill()
        if moment == "checkpoint write":
            for pid in {advance["pid"] for advance in read(self.sessions[-1])}:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        driver.communicate()
        self.kills.append({"moment": moment, "inside a write": moment != "any" and self._is(moment)})
        self._compare()
        return True

    def end(self) -> None:
        """Drive the sweep to its end."""
        self._end(self.drive())

    def _end(self, driver: subprocess.Popen[str]) -> None:
        output, _ = driver.communicate(timeout=PATIENCE)
        if driver.returncode:
            raise RuntimeError(output)
        self._compare()
        trials = self.trials()
        self.faults["trials too many or too few"] += abs(len(trials) - TRIALS)
        self.faults["left RUNNING"] += sum(trial.state == TrialState.RUNNING for trial in trials)
        self.faults["not ended"] += sum(trial.state == TrialState.WAITING for trial in trials)
        self.faults["FAIL"] += sum(trial.state == TrialState.FAIL for trial in trials)
        self.faults["rungs repeated twice in one kill"] += sum(map(repeated_too_much, self.advances().values()))

    def trials(self) -> Sequence[FrozenTrial]:
        return read_results(self.directory).sweep_trials

    def advances(self) -> dict[str, list[tuple[int, float]]]:
        """By the trial's parameters, which no other has: the driver and the budget of each advance begun."""
        found: dict[str, list[tuple[int, float]]] = {}
        for session, file in enumerate(self.sessions):
            for advance in read(file) if file.is_file() else ():
                found.setdefault(advance["trial"], []).append((session, advance["budget"]))
        return found

    def _compare(self) -> None:
        """Count finished trials that are not what they were."""
        try:
            trials = self.trials()
        except StudyError:  # killed before its first trial
            return
        now = {trial.number: trial for trial in trials if trial.state.is_finished()}
        self.faults["finished trials lost or changed"] += sum(
            trial != now.get(number) for number, trial in self.finished.items()
        )
        self.finished = now

    def _is(self, moment: Moment) -> bool:
        """Whether that is being written now."""
        match moment:
            case "study write":
                return os.path.lexists(f"{self.directory.journal}.lock")
            case "checkpoint write":
                return any(self.directory.checkpoints.glob("*/*/.state_*.pt.*.tmp"))
        return True


def repeated_too_much(advances: Sequence[tuple[int, float]]) -> int:
    """How often a trial's next driver began below the rung that its last one was killed in."""
    return sum(after[1] < before[1] or after == before for before, after in pairwise(advances))


def repeated(advances: Mapping[str, Sequence[tuple[int, float]]]) -> int:
    """How many rungs were begun more than once, in all."""
    return sum(len(of_trial) - len({budget for _, budget in of_trial}) for of_trial in advances.values())


def until(condition: Callable[[], bool], *, every: float = 0.0002) -> None:
    """Wait for a condition that is looked at so often, in seconds; a study write lasts a few ms."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the sweep got nowhere")
        time.sleep(every)


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def moments(kills: int, seed: int) -> Iterator[tuple[Moment, float]]:
    """What each kill is to hit, and how many seconds after the trials began at the earliest."""
    draw = random.Random(seed)
    kinds: list[Moment] = ["any", "study write", "checkpoint write"]
    for number in range(kills):
        yield kinds[number % 3], draw.uniform(0, 2)


def leaderboard(sweep: KilledSweep) -> list[tuple[Any, ...]]:
    """All that must not depend on kills."""
    return [(trial.number, trial.state.name, trial.values, trial.params) for trial in sweep.trials()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sweeps = [KilledSweep(folder / "0", trials_at_once=2)]
        for moment, delay in moments(given.kills, given.seed):
            while len(sweeps[-1].kills) == 5 or not sweeps[-1].kill_once(moment, delay):
                if len(sweeps[-1].kills) == 5:
                    sweeps[-1].end()
                sweeps.append(KilledSweep(folder / str(len(sweeps)), trials_at_once=2))
            print(sweeps[-1].kills[-1], flush=True)
        sweeps[-1].end()

        undisturbed = KilledSweep(folder / "undisturbed", trials_at_once=1)
        undisturbed.end()
        alone = KilledSweep(folder / "alone", trials_at_once=1)
        for moment, delay in moments(4, given.seed + 1):
            alone.kill_once(moment, delay)
        alone.end()
        faults: Counter[str] = Counter()
        for sweep in (*sweeps, alone):
            faults.update(sweep.faults)
        found = {
            "kills": sum(len(sweep.kills) for sweep in sweeps),
            "inside a write": dict(
                Counter(kill["moment"] for sweep in sweeps for kill in sweep.kills if kill["inside a write"])
            ),
            "sweeps": len(sweeps),
            "trials": sum(len(sweep.trials()) for sweep in sweeps),
            "trials by state": dict(Counter(trial.state.name for sweep in sweeps for trial in sweep.trials())),
            "rungs begun": sum(len(each) for sweep in sweeps for each in sweep.advances().values()),
            "of them repeated": sum(repeated(sweep.advances()) for sweep in sweeps),
            "faults": dict(faults),
            "one at a time: kills": len(alone.kills),
            "one at a time: same leaderboard as undisturbed": leaderboard(alone) == leaderboard(undisturbed),
        }
    for key, value in found.items():
        print(f"{key}: {value}")
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"kills-{date.today()}.json"
    command = f"python benchmarks/kills.py --kills {given.kills} --seed {given.seed}"
    file.write_text(
        json.dumps({**found, "environment": {**describe_environment(), "command": command}}, indent=1) + "\n"
    )
    print(file)


if __name__ == "__main__":
    main()
