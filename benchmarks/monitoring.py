"""What does watching a sweep cost? CPU seconds of all that shows it, beside those of the sweep.

    python benchmarks/monitoring.py

A sweep of eight trials trains on a phantom data set, two at a time, shown as the live table of a terminal and published
as Ray's metrics. Measured is the CPU time, by the kernel's clocks, of

    live table    the driver's thread that draws it twice a second, and
    metrics       the one that sets Ray's gauges every 5 s, each with its reading of the study
    trial files   the driver's writing of logs and TensorBoard events
    pictures      the trials' making of the overlays for TensorBoard

over that of all processes of the sweep: driver, trials and Ray. The processes of Ray's own dashboard and of its agent,
which also pass our metrics on, are told apart: Ray starts them with or without us.

Prints a table; writes benchmarks/results/monitoring-DATE.json. About 5 minutes.
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from trainables.segmentation import SegmentationRun
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.environment import describe_environment
from tuner.results import read_results
from tuner.sweep import run_sweep
from tuner.trial_record import TrialRecord
from tuner.view import View

RESULTS = Path(__file__).parent / "results"
PICTURES = "picture_cpu_seconds"
SAMPLE_SECONDS = 0.2


class MeasuredRun(SegmentationRun):
    """A training run that says what its pictures took."""

    _on_pictures = 0.0

    def _picture(self, found: Mapping[str, Any]) -> bytes | None:
        began = time.thread_time()
        try:
            return super()._picture(found)
        finally:
            self._on_pictures += time.thread_time() - began

    def advance(self, budget: float) -> Any:
        evaluation = super().advance(budget)
        evaluation.facts[PICTURES] = self._on_pictures  # type: ignore[index]
        return evaluation


def watched_sweep(sweep_file: Path, runs: Path) -> dict[str, float]:
    """Run a sweep in this process. Returns the CPU seconds of what shows it, by part."""
    spent: dict[str, float] = defaultdict(float)

    def measured(part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            began = time.thread_time()
            try:
                return work(*arguments, **options)
            finally:
                spent[part] += time.thread_time() - began

        return run

    start = threading.Thread.run

    def run_thread(thread: threading.Thread) -> None:
        measured(f"thread {thread.name}", start)(thread)

    setattr(threading.Thread, "run", run_thread)  # noqa: B010 (mypy knows no methods that are replaced)
    for name in ("begun", "reported", "ended", "left"):
        setattr(TrialRecord, name, measured("trial files", getattr(TrialRecord, name)))
    screen = io.StringIO()
    setattr(screen, "isatty", lambda: True)  # noqa: B010 (mypy knows no methods that are replaced)
    terminal = Console(file=screen, width=160, height=50)
    results = run_sweep(SweepConfig.read(sweep_file), runs=runs, view=View(terminal))
    return {
        "live table": spent["thread view"],
        "metrics": spent["thread metrics"],
        "trial files": spent["trial files"],
        "pictures": sum(trial.user_attrs.get(PICTURES, 0.0) for trial in results.sweep_trials),
    }


def cpu_of(process: subprocess.Popen[str]) -> tuple[dict[str, float], str]:
    """CPU seconds of a process and all that it starts, until it ends: `sweep`, `ray dashboard`. And what it printed."""
    printed: list[str] = []
    reader = threading.Thread(target=lambda: printed.append(process.stdout.read() if process.stdout else ""))
    reader.start()
    spent: dict[tuple[int, float], tuple[str, float]] = {}
    root = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            family = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            break
        for one in family:
            try:
                times, command = one.cpu_times(), " ".join(one.cmdline())
                part = "ray dashboard" if "dashboard" in command.lower() else "sweep"
                spent[one.pid, one.create_time()] = part, times.user + times.system
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
        time.sleep(SAMPLE_SECONDS)
    reader.join()
    totals: dict[str, float] = defaultdict(float)
    for part, seconds in spent.values():
        totals[part] += seconds
    return dict(totals), printed[0]


def prepared(folder: Path, *, minutes: float) -> Path:
    """The file of a sweep on a phantom data set."""
    voxtune = [sys.executable, "-m", "tuner.cli"]
    sweep = folder / "sweep.yaml"
    commands = (
        ["phantom", folder / "heart", "--task", "heart", "--cases", "12"],
        ["new", folder / "heart", "-o", sweep, "--trials", "8", "--minutes", str(minutes), "--name", "watched"],
    )
    for command in commands:
        subprocess.run([*voxtune, *map(str, command)], check=True, stdout=subprocess.DEVNULL)
    config = SweepConfig.read(sweep).changed({"trainable": "monitoring:MeasuredRun", "confirm": {"top": 0}})
    sweep.write_text(config.to_yaml())
    return sweep


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=3, help="that the sweep is drafted for")
    parser.add_argument("--inner", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        print(json.dumps(watched_sweep(*options.inner)))
        return
    with tempfile.TemporaryDirectory(prefix="monitoring-") as temporary:
        folder = Path(temporary)
        sweep = prepared(folder, minutes=options.minutes)
        command = [sys.executable, __file__, "--inner", str(sweep), str(folder / "runs")]
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True)
        totals, printed = cpu_of(process)
        lasted = time.monotonic() - began
        if process.returncode:
            raise SystemExit(f"the sweep failed: {process.returncode}")
        results = read_results(SweepDirectory(folder / "runs" / "watched"))
    parts = json.loads(printed.splitlines()[-1])
    all_seconds = sum(totals.values())
    share = sum(parts.values()) / all_seconds
    print("| part | CPU seconds | share of the sweep's |\n|---|---|---|")
    for part, seconds in [*parts.items(), ("all of these", sum(parts.values())), *totals.items()]:
        print(f"| {part} | {seconds:.2f} | {seconds / all_seconds:.2%} |")
    result = {
        "environment": describe_environment(),
        "seconds": lasted,
        "trials": len(results.trials),
        "evaluations": len(results.curves),
        "cpu_seconds": {**parts, **totals},
        "share_of_monitoring": share,
    }
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"monitoring-{date.today()}.json"
    file.write_text(json.dumps(result, indent=1) + "\n")
    print(f"Wrote {file}")


if __name__ == "__main__":
    main()
