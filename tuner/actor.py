"""The warm actor: a Ray Tune trainable that drives one training run after another in one process.

Ray Tune keeps the process when a trial ends and hands it the next trial's configuration, so that imports, CUDA context
and memory-mapped volumes are paid for once a slot. An error of a trial is a result (`failure`), not the end of the
actor, unless it left the device unusable.
"""

import gc
import math
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.exceptions import RayActorError

from trainables.errors import DamagedVolumesError, TrainableError, TrainingError
from trainables.memory_errors import is_device_lost, is_out_of_memory
from trainables.protocol import Evaluation, TrainingRun
from trainables.torch_if_loaded import torch_if_loaded
from tuner.assignment import ASSIGNMENT, Assignment, build_run, places
from tuner.cells import short
from tuner.checkpoint_writer import CheckpointWriter
from tuner.checkpoints import MODEL, state_name
from tuner.errors import SlotError
from tuner.gate import pass_gate
from tuner.pulse import Pulse
from tuner.silence import Sign
from tuner.stint import StintClock
from tuner.trial_log import SlotLog
from tuner.trial_report import TrialReport

if TYPE_CHECKING:
    from tuner.team import Team


class TrialActor(tune.Trainable):
    """Runs the trial that its config's Assignment describes, one evaluation a step."""

    _run: TrainingRun | None = None
    _team: "Team | None" = None
    """Where several processes train a trial together: the others."""

    _pulse: Pulse | None = None
    _calls = 0
    _working = True

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """A place for each of a trial's workers, all or none, on one node where possible."""
        assignment: Assignment = config[ASSIGNMENT]
        return tune.PlacementGroupFactory(places(assignment.resources, assignment.workers), strategy="PACK")

    def setup(self, config: dict[str, Any]) -> None:
        self._log = SlotLog()
        self._writer = CheckpointWriter()
        assignment: Assignment = config[ASSIGNMENT]
        self._assignment = assignment
        if assignment.pulse:
            self._pulse = Pulse(assignment.pulse, self._sign, self._log.kept)
        _warm_up(assignment)
        if assignment.workers > 1:
            self._team = _team_for(assignment)
        number = pass_gate(assignment.gate) if assignment.gate else 1
        self._slot = f"slot {number or '?'} of {assignment.sweep}"
        self._begin(assignment)
        self._working = False

    def _sign(self) -> Sign:
        """How far this process is; asked by another thread."""
        progress = getattr(self._run, "progress", None)
        return Sign(number=self._assignment.number, calls=self._calls, working=self._working, progress=progress)

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """While the block runs this process owes the driver an answer."""
        self._calls += 1
        self._working = True
        try:
            yield
        finally:
            self._working = False

    def __repr__(self) -> str:
        """How Ray's dashboard and its log lines call the process."""
        return self._slot

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        with self._at_work():
            self._begin(new_config[ASSIGNMENT])
        return True

    def _begin(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._log.begin(f"trial {assignment.number}")
        self._log.say(_taken_up(assignment, self._slot))
        self._clock = StintClock()
        # The run of the trial before must be gone before the next one is built: two would not fit on a full device.
        self._run = None
        if self._team:
            self._team.begin()
        self._last_state: str | None = None
        self._writer.wait()
        gc.collect()
        _empty_device()

    def step(self) -> dict[str, Any]:
        with self._at_work():
            return {"report": self._report()}

    def _report(self) -> TrialReport:
        """The trial's next evaluation, or how it failed."""
        assignment = self._assignment
        todo = [step for step in assignment.steps if step not in assignment.steps_done]
        step = todo[min(self.iteration, len(todo) - 1)]
        try:
            report = self._advance(step)
        except Exception as error:
            if is_device_lost(error) or isinstance(error, RayActorError):
                raise  # Tune then ends this process, where every further trial would fail
            report = self._failure(step, error)
        self._log.say(report.told(of=assignment.steps[-1]))
        return replace(report, log=self._log.take())

    def _advance(self, step: int) -> TrialReport:
        assignment = self._assignment
        budget = step / assignment.steps[-1] * assignment.budget.maximum
        evaluation = self._advance_together(budget) if assignment.workers > 1 else self._advance_here(budget)
        if not math.isfinite(evaluation.score):
            raise TrainingError(f"the score at step {step} is {evaluation.score}")
        with self._clock.measured("checkpoint"):
            not_saved = self._keep(step, goes_on=step != assignment.steps[-1])
        return TrialReport(
            number=assignment.number,
            step=step,
            evaluation=evaluation,
            stint=self._clock.so_far(),
            facts={"checkpoint": assignment.folder, "not_saved": not_saved},
        )

    def _advance_here(self, budget: float, *, rank: int | None = None) -> Evaluation:
        if self._run is None:
            with self._clock.measured("start"):
                self._run = build_run(self._assignment, rank=rank)
        with self._clock.measured("advance"):
            return self._run.advance(budget)

    def _advance_together(self, budget: float) -> Evaluation:
        if self._team is None:  # it failed in the trial before
            with self._clock.measured("start"):
                self._team = _team_for(self._assignment)
        self._team.start(self._assignment, budget)
        try:
            evaluation = self._advance_here(budget, rank=0)
            self._team.finish()
        except Exception as error:
            team, self._team = self._team, None
            cause = team.disband(error)
            if cause is error:
                raise
            raise cause from error
        return evaluation

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
        unfit = isinstance(error, DamagedVolumesError | SlotError)
        expected = out_of_memory or isinstance(error, TrainingError | TrainableError | SlotError)
        return TrialReport(
            number=self._assignment.number,
            step=step,
            evaluation=None,
            stint=self._clock.so_far(),
            failure=f"{type(error).__name__}: {error}",
            traceback=None if expected else traceback.format_exc(),
            out_of_memory=out_of_memory,
            unfit=unfit,
        )

    def cleanup(self) -> None:
        self._run = None
        self._writer.wait()
        if self._pulse:
            self._pulse.end()
        self._log.close()


def _team_for(assignment: Assignment) -> "Team":
    from tuner.team import Team

    return Team(assignment)


def _empty_device() -> None:
    """Give back what the trial before left, if it used torch at all."""
    if (torch := torch_if_loaded()) and torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


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


def _taken_up(assignment: Assignment, slot: str) -> str:
    parameters = ", ".join(f"{name} {short(value)}" for name, value in assignment.parameters.items())
    attempt = f" again (attempt {assignment.attempt})" if assignment.attempt > 1 else ""
    return f"taken up{attempt} by {slot} on {socket.gethostname()}, seed {assignment.seed}: {parameters}"
