"""The warm actor: a Ray Tune trainable that drives one training run after another in one process.

Ray Tune keeps the process when a trial ends and hands it the next trial's configuration, so that imports, CUDA context
and memory-mapped volumes are paid for once a slot. An error of a trial is a result (`failure`), not the end of the
actor, unless it left the device unusable.
"""

import gc
import math
import traceback
from dataclasses import dataclass, field
from typing import Any

import torch
from ray import tune

from trainables.errors import TrainableError, TrainingError
from trainables.memory_errors import is_device_lost, is_out_of_memory
from trainables.protocol import Budget, Evaluation, TrainingRun
from tuner.checkpoint_writer import CheckpointWriter
from tuner.checkpoints import MODEL, state_name
from tuner.gate import pass_gate
from tuner.importing import import_named
from tuner.shipping import ShippedFolder
from tuner.stint import StintClock
from tuner.trial_files import TrialFiles

ASSIGNMENT = "assignment"
"""The one key of a Tune config of ours."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """All that an actor needs to run one trial."""

    number: int
    trainable: str
    parameters: dict[str, Any]
    data: dict[str, Any]
    budget: Budget
    seed: int
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


@dataclass(frozen=True, kw_only=True)
class TrialReport:
    """What an actor reports: an evaluation at a step, or how the trial failed."""

    number: int
    step: int
    evaluation: Evaluation | None
    stint: dict[str, Any] = field(default_factory=dict)
    """Where and how the trial's time went since this process took it up, see `StintClock.so_far`."""

    facts: dict[str, Any] = field(default_factory=dict)
    failure: str | None = None
    """One line: type and message of the error that ended the trial."""

    traceback: str | None = None
    out_of_memory: bool = False


class TrialActor(tune.Trainable):
    """Runs the trial that its config's Assignment describes, one evaluation a step."""

    _run: TrainingRun | None = None

    def setup(self, config: dict[str, Any]) -> None:
        self._writer = CheckpointWriter()
        assignment: Assignment = config[ASSIGNMENT]
        _warm_up(assignment)
        if assignment.gate:
            pass_gate(assignment.gate)
        self._begin(assignment)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config[ASSIGNMENT])
        return True

    def _begin(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._clock = StintClock()
        # The run of the trial before must be gone before the next one is built: two would not fit on a full device.
        self._run = None
        self._last_state: str | None = None
        self._writer.wait()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def step(self) -> dict[str, Any]:
        assignment = self._assignment
        todo = [step for step in assignment.steps if step not in assignment.steps_done]
        step = todo[min(self.iteration, len(todo) - 1)]
        try:
            report = self._advance(step)
        except Exception as error:
            if is_device_lost(error):
                raise  # Tune then ends this process, where every further trial would fail
            report = self._failure(step, error)
        return {"report": report}

    def _advance(self, step: int) -> TrialReport:
        assignment = self._assignment
        if self._run is None:
            with self._clock.measured("start"):
                self._run = build_run(assignment)
        with self._clock.measured("advance"):
            evaluation = self._run.advance(step / assignment.steps[-1] * assignment.budget.maximum)
        if not math.isfinite(evaluation.score):
            raise TrainingError(f"the score at step {step} is {evaluation.score}")
        with self._clock.measured("checkpoint"):
            not_saved = self._keep(step, goes_on=step != assignment.steps[-1])
        return TrialReport(
            number=assignment.number,
            step=step,
            evaluation=evaluation,
            stint=self._clock.so_far(),
            facts={"not_saved": not_saved},
        )

    def _keep(self, step: int, *, goes_on: bool) -> str | None:
        """Write what the trial needs to go on, and the model it has so far. Returns why that was not possible.

        The state is written while the trial goes on: should all be killed meanwhile, the rung is repeated. At the end
        the state before the last rung stays until the driver has recorded the trial: it may be killed before that.
        """
        assert self._run is not None
        files, folder = self._assignment.files, self._assignment.folder
        try:
            not_saved = self._writer.wait()
            save_model = getattr(self._run, "save_model", None)
            if save_model is not None:
                files.put(f"{folder}/{MODEL}", save_model)
            if goes_on:
                name = f"{folder}/{state_name(step)}"
                self._writer.write(self._run.state_dict(), files, name, instead_of=self._last_state)
                self._last_state = name
        except (OSError, RuntimeError) as error:  # torch.save on a full disk: a RuntimeError
            if is_device_lost(error) or is_out_of_memory(error):
                raise
            return f"{type(error).__name__}: {error}"  # what was trained stands all the same
        return not_saved

    def _failure(self, step: int, error: Exception) -> TrialReport:
        self._run = None
        out_of_memory = is_out_of_memory(error)
        expected = out_of_memory or isinstance(error, TrainingError | TrainableError)
        return TrialReport(
            number=self._assignment.number,
            step=step,
            evaluation=None,
            stint=self._clock.so_far(),
            failure=f"{type(error).__name__}: {error}",
            traceback=None if expected else traceback.format_exc(),
            out_of_memory=out_of_memory,
        )

    def cleanup(self) -> None:
        self._run = None
        self._writer.wait()


def _warm_up(assignment: Assignment) -> None:
    """Have done once, before the slot counts as open, what the first run of a process takes seconds for.

    Much is imported only when it is needed, as torch's optimizers do, and a GPU's context is made by the first tensor.
    """
    try:
        build_run(assignment)
    except Exception:
        return  # the trial will say so
    # What was imported stays: with that left out a collection between two trials takes milliseconds.
    gc.collect()
    gc.freeze()


def build_run(assignment: Assignment) -> TrainingRun:
    """The assignment's training run, at the state where an earlier driver left it."""
    run: TrainingRun = import_named(assignment.trainable, key="trainable", kind=TrainingRun)(
        assignment.parameters,
        data={
            key: value.here() if isinstance(value, ShippedFolder) else value for key, value in assignment.data.items()
        },
        budget=assignment.budget,
        seed=assignment.seed,
        device=assignment.device,
    )
    if assignment.state:
        with assignment.files.fetched(assignment.state) as path:
            run.load_state_dict(torch.load(path, weights_only=True))
    return run
