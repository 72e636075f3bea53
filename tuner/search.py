"""One search: Ray Tune hands out what the study proposes, and the study learns what came back.

The bridge to the study has two ends, because Ray Tune asks two objects. The searcher proposes trials. The scheduler
receives every report, records it, and decides; it is the one that records because Tune tells a searcher neither why a
trial ended nor the last result of a trial that was stopped.
"""

import logging
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from optuna.trial import TrialState
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from cluster.connect import head_lives, own_node_lives
from tuner.actor import TrialActor
from tuner.assignment import ASSIGNMENT, Assignment
from tuner.errors import SlotError, UserError
from tuner.gate import Gate
from tuner.interrupt import ending_in_order
from tuner.lost_trials import LostTrials
from tuner.pulse import PulseAt, PulseTaker
from tuner.study import Proposal, StopReason
from tuner.trial_report import TrialReport
from tuner.tune_reporter import reporter
from tuner.work import TooLarge, Work

log = logging.getLogger("voxtune")

LOOK_SECONDS = 10.0
"""How often it is asked whether Ray's process of the driver's machine is still there."""


class StudySearcher(Searcher):
    """Hands out the study's planned trials, interrupted ones first."""

    def __init__(self, work: Work, *, gate: str | None = None, pulse: PulseAt | None = None) -> None:
        super().__init__()
        self._work = work
        self._gate = gate
        self._pulse = pulse

    def suggest(self, trial_id: str) -> Any:
        work = self._work
        proposal = self._next()
        if proposal is None:
            # Another driver's trials may come back to us, should it die.
            # And one of ours, should its process be lost.
            return None if work.study.trials(TrialState.RUNNING) and not work.over() else Searcher.FINISHED
        work.record.begun(proposal.number, {name: proposal.parameters[name] for name in work.study.space.searched})
        parameters, data = work.run_of(proposal.parameters)
        assignment = Assignment(
            sweep=work.sweep,
            number=proposal.number,
            trainable=work.trainable,
            parameters=parameters,
            data=data,
            budget=work.budget,
            seed=proposal.seed,
            resources=dict(work.resources),
            workers=work.workers,
            device="cuda" if work.resources.get("gpu") else "cpu",
            steps=work.steps,
            steps_done=proposal.steps_done,
            attempt=proposal.attempt,
            files=work.trial_files,
            folder=work.checkpoints.folder(work.study_name, proposal.number, proposal.attempt),
            state=self._state(proposal),
            gate=self._gate,
            pulse=self._pulse,
        )
        return {ASSIGNMENT: assignment}

    def _state(self, proposal: Proposal) -> str | None:
        """The state that a trial goes on from."""
        work = self._work
        if not proposal.steps_done:
            return None
        return work.checkpoints.state_up_to(work.study_name, proposal.number, proposal.steps_done[-1])

    def _next(self) -> Proposal | None:
        """The next trial that is to run, now ours."""
        work = self._work
        work.study.release(work.abandoned(work.study.running_elsewhere()))
        while not work.over():
            proposal = work.study.claim()
            if proposal is None:
                if work.trials is not None:
                    return None
                proposal = work.study.ask()
            # Its driver may have died between the report and what was to follow from it.
            verdict = work.verdict(proposal.number, proposal.steps_done[-1]) if proposal.steps_done else None
            if verdict is not None:
                work.end(proposal.number, verdict)
            elif (reason := work.too_large(proposal.parameters)) is not None:
                self._turn_away(proposal.number, reason)
            else:
                return proposal
        return None

    def _turn_away(self, number: int, reason: TooLarge) -> None:
        work = self._work
        work.study.finish(number, "turned away", facts=asdict(reason))
        if work.trials is not None and work.replaces_turned_away:
            work.study.plan(work.trials)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: the scheduler has recorded what was reported, and `LostTrials` what was not."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is the record, and a resumed sweep starts from it."""

    def restore(self, checkpoint_path: str) -> None:
        raise AssertionError("a sweep is resumed from its study, never by Tuner.restore")


class StudyScheduler(FIFOScheduler):
    """Records each report in the study, and stops a trial that is over or not among the best at a rung."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """None: Tune then goes by its queue, and gives a free slot to a trial that has none coming up.

        The first waiting trial, which FIFO chooses, may have one coming up, and Tune would end that one.
        """

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        return TrialScheduler.CONTINUE if self._goes_on(result["report"]) else TrialScheduler.STOP

    def _goes_on(self, report: TrialReport) -> bool:
        """Record a report; whether its trial goes on."""
        work = self._work
        if not work.study.is_ours(report.number):
            log.warning("trial %d has another driver by now, which took this one for dead", report.number)
            work.study.give_up(report.number)
            work.record.left(report.number, "it has another driver by now", report.log)
            return False
        if report.unfit:
            work.study.release([report.number])
            work.record.left(report.number, f"goes on when the sweep is resumed: {report.failure}", report.log)
            raise SlotError(f"no trial can go on: {report.failure}; then go on by `voxtune resume {work.sweep}`")
        if report.evaluation is None:
            reason: StopReason = "out of memory" if report.out_of_memory else "error"
            work.study.finish(report.number, reason, error=report.traceback or report.failure, stint=report.stint)
            work.record.ended(report.number, reason, written=report.log)
            return False
        work.study.report(report.number, report.step, report.evaluation, report.facts, stint=report.stint)
        work.record.reported(report.number, report.step, report.evaluation, report.log)
        if report.facts.get("not_saved"):
            log.warning("trial %d was not saved at step %d: %s", report.number, report.step, report.facts["not_saved"])
        verdict = work.verdict(report.number, report.step)
        if verdict is not None:
            work.end(report.number, verdict)
            return False
        if over := work.over():
            work.study.release([report.number])
            work.record.left(report.number, f"interrupted: {over}")
            return False
        return True


class LostNode(tune.Callback):
    """Ends the search where Ray's process of this machine is gone, through which the driver has all others started."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._looked = time.monotonic()

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        if not own_node_lives():
            raise SlotError(
                "Ray's process of this machine (raylet) is gone, and no trial can be started; go on by "
                f"`voxtune resume {self._work.sweep}`"
            )


def search(work: Work, *, tell: Callable[[str], None] = log.info) -> str | None:
    """Run the trials that the study plans, or any number, until `work.over()`. Leaves no trial of ours RUNNING.

    Args:
        tell: told at once when the user's Ctrl-C begins to end the search.

    Returns why it ended before all were run, for people. Raises KeyboardInterrupt if the user stopped it.
    """

    def give_up() -> None:
        work.study.release([number for number in work.study.asked if work.study.is_ours(number)])
        tell("Stopped, and Ray with it. Trials that ran go on from their last checkpoint when the sweep is resumed.")
        sys.stdout.flush()
        os._exit(130)  # from another thread there is no other way out of Ray's library

    together = min(work.slots, work.trials_at_once, work.study.trials_left(work.trials) if work.trials else work.slots)
    # Also where the nodes that are there hold none or one yet, and others come: it numbers the slots.
    gate = Gate(together) if work.trials_at_once > 1 else None
    kept_by = (gate.name, gate.actor) if gate else None
    pulses = None if work.trial_timeout is None else PulseTaker(work.trial_timeout, kept_by=kept_by)
    try:
        with ending_in_order(tell, ray_lives=head_lives, give_up=give_up):
            _tuner(work, gate=gate, pulses=pulses).fit()
    except Exception as error:
        if user_error := _of_user(error):
            raise user_error from None
        raise
    finally:
        for actor in (gate, pulses):
            if actor:
                actor.close()
        shutil.rmtree(work.ray_results, ignore_errors=True)
        if work.limits.clock:
            work.limits.clock.save()
        released = work.study.release([number for number in work.study.asked if work.study.is_ours(number)])
        for number in released:
            work.record.left(number, "interrupted; it goes on when the sweep is resumed")
        if released:
            log.info("stopped while trials %s ran; they go on when the sweep is resumed", released)
        work.forget_losers()
    unfinished = released or any(trial.state == TrialState.WAITING for trial in work.study.trials())
    over = work.over() if unfinished else None
    if unfinished and over is None:
        raise KeyboardInterrupt  # Ray Tune took it and ended in order
    return over


def _tuner(work: Work, *, gate: Gate | None, pulses: PulseTaker | None) -> tune.Tuner:
    """Ray Tune, told to keep nothing and print nothing: study, checkpoints and views are ours."""
    searcher = StudySearcher(work, gate=gate.name if gate else None, pulse=pulses.at if pulses else None)
    return tune.Tuner(
        TrialActor,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=StudyScheduler(work),
            num_samples=-1,  # the searcher says when it is enough
            max_concurrent_trials=work.trials_at_once,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=work.study_name,
            storage_path=str(work.ray_results),
            verbose=0,
            callbacks=[LostTrials(work, pulses), LostNode(work)],
            progress_reporter=reporter(),
            log_to_file=False,
            failure_config=tune.FailureConfig(max_failures=0),
            # The actor writes its own, where a resumed sweep finds them by the trial's number.
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )


def _of_user(error: BaseException | None) -> UserError | None:
    """The error of the study or of a slot, which Tune wraps into the text of one of its own."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__ or error.__context__
    return error


def _trial_name(trial: Any) -> str:
    assignment: Assignment = trial.config[ASSIGNMENT]
    return f"trial-{assignment.number}" + (f"-attempt-{assignment.attempt}" if assignment.attempt > 1 else "")
