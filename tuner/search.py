"""One search: Ray Tune hands out what the study proposes, and the study learns what came back.

The bridge to the study has two ends, because Ray Tune asks two objects. The searcher proposes trials. The scheduler
receives every report, records it, and decides; it is the one that records because Tune tells a searcher neither why a
trial ended nor the last result of a trial that was stopped.
"""

import logging
import shutil
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from trainables.protocol import Budget
from tuner.actor import ASSIGNMENT, Assignment, TrialActor, TrialReport
from tuner.directory import SweepDirectory
from tuner.rungs import SuccessiveHalving
from tuner.study import StopReason, SweepStudy

log = logging.getLogger("voxtune")


@dataclass(frozen=True, kw_only=True)
class Work:
    """What all trials of a search have in common."""

    study: SweepStudy
    study_name: str
    directory: SweepDirectory
    trainable: str
    data: Mapping[str, Any]
    budget: Budget
    trials: int
    """How many trials the study is to hold when the search is over."""

    rungs: SuccessiveHalving | None
    """None: no trial is stopped."""

    steps: tuple[int, ...]
    """When trials evaluate, in thousandths of the full budget."""

    resources: Mapping[str, float]
    """Ray resources of one trial, e.g. `{"cpu": 1, "gpu": 0.5}`."""

    trials_at_once: int
    """How many trials may run at the same time."""


class StudySearcher(Searcher):
    """Proposes the study's trials until it holds as many as asked for; released ones first."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        work = self._work
        # Waiting trials count too: they are already in the study and will be asked for first.
        known = work.study.trials()
        waiting = any(trial.state.name == "WAITING" for trial in known)
        if not waiting and len(known) >= work.trials:
            return Searcher.FINISHED
        proposal = work.study.ask()
        self._numbers[trial_id] = proposal.number
        assignment = Assignment(
            number=proposal.number,
            trainable=work.trainable,
            parameters=dict(proposal.parameters),
            data=dict(work.data),
            budget=work.budget,
            seed=proposal.seed,
            device="cuda" if work.resources.get("gpu") else "cpu",
            steps=work.steps,
            steps_done=proposal.steps_done,
            folder=str(work.directory.trial_folder(work.study_name, proposal.number)),
        )
        return {ASSIGNMENT: assignment}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Ray lost the trial's process: everything else is already recorded by the scheduler."""
        number = self._numbers.pop(trial_id, None)
        if error and number in self._work.study.asked:
            self._work.study.finish(number, "error", error="the trial's process died; see the sweep's log")

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is the record, and a resumed sweep starts from it."""

    def restore(self, checkpoint_path: str) -> None:
        raise AssertionError("a sweep is resumed from its study, never by Tuner.restore")


class StudyScheduler(FIFOScheduler):
    """Records each report in the study, and stops a trial that is over or not among the best at a rung."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        reason = self._record(result["report"])
        return TrialScheduler.CONTINUE if reason is None else TrialScheduler.STOP

    def _record(self, report: TrialReport) -> StopReason | None:
        work = self._work
        if report.evaluation is None:
            reason: StopReason = "out of memory" if report.out_of_memory else "error"
            work.study.finish(report.number, reason, error=report.traceback or report.failure)
            return reason
        work.study.report(report.number, report.step, report.evaluation, report.facts)
        if report.step == work.steps[-1]:
            work.study.finish(report.number, "full budget")
            return "full budget"
        if work.rungs and not work.rungs.goes_on(report.number, report.step, report.evaluation.score):
            work.study.finish(report.number, "stopped at rung")
            work.directory.forget_trial(work.study_name, report.number)
            return "stopped at rung"
        return None


def search(work: Work) -> None:
    """Run trials until the study holds `work.trials`. Leaves no trial RUNNING.

    Raises KeyboardInterrupt if the user stopped it before.
    """
    work.study.finish_reached(work.steps[-1])
    work.study.release()
    if work.rungs:
        for trial in work.study.trials():
            work.rungs.refill(trial.number, trial.intermediate_values)
    tuner = tune.Tuner(
        tune.with_resources(TrialActor, dict(work.resources)),
        tune_config=tune.TuneConfig(
            search_alg=StudySearcher(work),
            scheduler=StudyScheduler(work),
            num_samples=-1,  # the searcher says when it is enough
            max_concurrent_trials=work.trials_at_once,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=work.study_name,
            storage_path=str(work.directory.ray_results),
            verbose=0,
            log_to_file=False,
            failure_config=tune.FailureConfig(max_failures=0),
            # The actor writes its own, where a resumed sweep finds them by the trial's number.
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)}
    try:
        tuner.fit()
    finally:
        if threading.current_thread() is threading.main_thread():  # Tune leaves its own behind
            for number, handler in handlers.items():
                signal.signal(number, handler)
        shutil.rmtree(work.directory.ray_results, ignore_errors=True)
        released = work.study.release()
        if released:
            log.info("stopped while trials %s ran; they go on when the sweep is resumed", released)
    if released or work.study.trials_left(work.trials) > 0:
        raise KeyboardInterrupt  # Ray Tune took it and ended in order


def _trial_name(trial: Any) -> str:
    return f"trial-{trial.config[ASSIGNMENT].number}"
