"""What must hold of a sweep whatever happened to it. Each rule gives what breaks it, in words."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from optuna.trial import FrozenTrial, TrialState

from faults.fault import Fault
from faults.sweeps import TRIALS, FaultSweep
from tuner.report import write_report
from tuner.rungs import FULL_BUDGET

ORPHANS_END = 120.0
"""Seconds that processes may take to notice that their driver is gone, on a busy machine."""

RAYS_AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""Two of Ray's own processes that notice after minutes that their node is gone, whoever started it."""


def broken(sweep: FaultSweep, fault: Fault, scores: dict[str, float]) -> list[str]:
    """All that is not as it must be.

    Args:
        scores: of the trials of all runs so far, by kind, parameters and step; those of this run are added. A sweep
            proposes by its seed and a trial's training is repeatable, so no fault may change a number.
    """
    rules = (_trials, _states, _rungs, _report, _leftovers, _orphans)
    found = [problem for rule in rules for problem in rule(sweep, fault)]
    return [*found, *_scores(sweep, scores)]


def _scores(sweep: FaultSweep, scores: dict[str, float]) -> Iterator[str]:
    for trial in sweep.trials():
        for step, score in trial.intermediate_values.items():
            name = f"{sweep.kind} {json.dumps(trial.params, sort_keys=True)} at {step}"
            if scores.setdefault(name, score) != score:
                yield f"trial {trial.number} has {score} at {step}, in another run it had {scores[name]}"


def _trials(sweep: FaultSweep, fault: Fault) -> Iterator[str]:
    """Every trial ended, once, and stayed as it was then."""
    trials = sweep.trials()
    if len(trials) != TRIALS[sweep.kind]:
        yield f"{len(trials)} trials instead of {TRIALS[sweep.kind]}"
    for trial in trials:
        if not trial.state.is_finished():
            yield f"trial {trial.number} is left {trial.state.name}"
    if sweep.changed:
        yield f"trials {sorted(set(sweep.changed))} had ended and were changed"


def _states(sweep: FaultSweep, fault: Fault) -> Iterator[str]:
    """A state says what happened."""
    struck = sweep.struck_trial()
    for trial in sweep.trials():
        reason = trial.user_attrs.get("stop_reason")
        if trial.state == TrialState.COMPLETE:
            if reason != "full budget" or trial.value != trial.intermediate_values.get(FULL_BUDGET):
                yield f"trial {trial.number} is COMPLETE, {reason}, without its Dice at the full budget"
        elif trial.state == TrialState.PRUNED:
            if reason != "stopped at rung" or not trial.intermediate_values:
                yield f"trial {trial.number} is PRUNED: {reason}"
        elif trial.state == TrialState.FAIL:
            yield from _failure(trial, allowed=fault.fails and trial.number == struck)


def _failure(trial: FrozenTrial, *, allowed: bool) -> Iterator[str]:
    error = str(trial.user_attrs.get("error", ""))
    if not allowed:
        yield f"trial {trial.number} failed: {error[-400:]}"
    elif not error:
        yield f"trial {trial.number} failed without saying why"


def _rungs(sweep: FaultSweep, fault: Fault) -> Iterator[str]:
    """Each time that a trial was taken up again repeats the rung that it was in, at most."""
    attempts = {
        json.dumps(sweep.parameters(trial), sort_keys=True): (trial.number, trial.user_attrs.get("attempt", 1))
        for trial in sweep.trials()
    }
    for parameters, begun in sweep.rungs_begun().items():
        if parameters not in attempts:
            yield f"something was trained that is no trial of the study: {parameters}"
            continue
        number, times = attempts[parameters]
        if begun.total() - len(begun) > times - 1:
            yield f"trial {number} began its rungs {dict(begun)} times, and was taken up {times} times"
    for trial in sweep.trials():
        steps = [evaluation["step"] for evaluation in trial.user_attrs.get("evaluations", [])]
        if len(steps) - len(set(steps)) > trial.user_attrs.get("attempt", 1) - 1 or set(steps) != set(
            trial.intermediate_values
        ):
            yield f"trial {trial.number} has values at {sorted(trial.intermediate_values)} and evaluations at {steps}"


def _report(sweep: FaultSweep, fault: Fault) -> Iterator[str]:
    """The driver made one at the end, or it can be made by now."""
    directory = sweep.directory
    try:
        if not directory.report_page.is_file():
            write_report(directory)
        pages = [directory.report_page, directory.report / "report.md"]
        texts = [page.read_text() for page in pages]
    except Exception as error:
        yield f"no report can be made: {type(error).__name__}: {error}"
        return
    for trial in sweep.trials():
        if trial.state == TrialState.COMPLETE and not any(f"{trial.value:.4f}" in text for text in texts):
            yield f"the report does not tell of trial {trial.number}"


def _leftovers(sweep: FaultSweep, fault: Fault) -> Iterator[str]:
    """Nothing half-written, no lock, and no owner who is gone."""
    directory = sweep.directory
    torn = [path.name for path in directory.root.rglob(".*.tmp")]
    left = [name for name in ("study.journal.lock", "owner.json", "failed.txt") if _there(directory.root / name)]
    if torn or left:
        yield f"left in the sweep's directory: {torn + left}"
    states = [path.name for path in directory.checkpoints.glob("*/*/state_*.pt")]
    if states:
        yield f"states of trials that have ended: {states}"


def _there(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _orphans(sweep: FaultSweep, fault: Fault) -> Iterator[str]:
    """No process of the sweep goes on without a driver."""
    end = time.monotonic() + ORPHANS_END
    while left := _alive(sweep):
        if time.monotonic() > end:
            yield f"processes without a driver: {left}"
            return
        time.sleep(1.0)


def _alive(sweep: FaultSweep) -> list[str]:
    found = [_described(process) for process in sweep.family.values()]
    for entry in {(entry["node"], entry["pid"]) for entry in sweep.advances()}:
        process = sweep.place.process(*entry)
        found.append(_described(process, trial=True) if process else "")
    return [name for name in found if name and name not in RAYS_AGENTS]


def _described(process: psutil.Process, *, trial: bool = False) -> str:
    """The process's name; nothing if it has ended."""
    try:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return ""
        # A worker of a Ray that serves others too is Ray's to keep: only our trial's actor must be gone.
        title = process.name()
        if trial and not any("TrialActor" in part or "slot" in part for part in [title, *process.cmdline()]):
            return ""
    except psutil.NoSuchProcess:
        return ""
    return title
