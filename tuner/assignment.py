"""What a slot is told of the trial that it is to run, and the training run that this makes."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.archive import read_archive
from trainables.errors import ModelFileError
from trainables.protocol import Budget, TrainingRun
from tuner.importing import import_named
from tuner.pulse import PulseAt
from tuner.shipping import ShippedFolder
from tuner.trial_files import TrialFiles

log = logging.getLogger("voxtune")

ASSIGNMENT = "assignment"
"""The one key of a Tune config of ours."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """All that an actor needs to run one trial."""

    sweep: str
    """The sweep's name, for people."""

    number: int
    trainable: str
    parameters: dict[str, Any]
    data: dict[str, Any]
    budget: Budget
    seed: int
    resources: Mapping[str, float]
    """CPUs and GPUs of each worker, as Ray wants them."""

    workers: int
    """How many processes train it together; this one is the first of them."""

    device: str
    """`cuda` if the trial has a share of a GPU, else `cpu`."""

    steps: tuple[int, ...]
    """The thousandths of the full budget at which it evaluates, ascending; it goes on after `steps_done` of them."""

    steps_done: tuple[int, ...]
    attempt: int
    """How often the trial was taken up, this time included."""

    files: TrialFiles
    folder: str
    """Of `files`, where this attempt keeps its states and its model."""

    state: str | None
    """Of `files`, the state to go on from."""

    gate: str | None = None
    """Where the process waits, before its first trial, for the other slots to come up."""

    pulse: PulseAt | None = None
    """Where the process tells how far it is; None where nobody asks."""


def places(resources: Mapping[str, float], workers: int) -> list[dict[str, float]]:
    """What a trial asks Ray for, by Ray's names: a place for each of its workers."""
    ray_names = {"cpu": "CPU", "gpu": "GPU"}
    return [{ray_names.get(kind, kind): amount for kind, amount in resources.items() if amount}] * workers


def build_run(assignment: Assignment, *, rank: int | None = None) -> TrainingRun:
    """The assignment's training run at the state where it was left before: as the worker of this rank has it, or, with
    None, as a process has it that trains alone."""
    data = {key: value.here() if isinstance(value, ShippedFolder) else value for key, value in assignment.data.items()}
    if rank is not None:
        data["workers"] = {"rank": rank, "count": assignment.workers}
    run: TrainingRun = import_named(assignment.trainable, key="trainable", kind=TrainingRun)(
        assignment.parameters,
        data=data,
        budget=assignment.budget,
        seed=assignment.seed,
        device=assignment.device,
    )
    if assignment.state:
        with assignment.files.fetched(assignment.state) as path:
            state = _read_state(path)
        if state is not None:
            run.load_state_dict(state)
    return run


def _read_state(path: Path) -> dict[str, Any] | None:
    """What `state_dict` gave; None where the file is damaged. The trial is then trained from its beginning again."""
    try:
        state = read_archive(path)
        if not isinstance(state, dict):
            raise ModelFileError(f"{path}: holds a {type(state).__name__}")
    except ModelFileError as error:
        why = str(error).removeprefix(f"{path}: ")
        log.warning("the state to go on from, %s, is damaged (%s): trained again from the beginning", path, why)
        return None
    return state
