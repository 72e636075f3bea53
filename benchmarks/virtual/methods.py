"""The rivals: Ray's and our real searcher and scheduler objects, told what Ray Tune's controller would tell them."""

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from ray.tune.experiment import Trial
from ray.tune.schedulers import HyperBandForBOHB, TrialScheduler
from ray.tune.search import Searcher

from search_spaces.parameters import Float, Int
from search_spaces.space import SearchSpace
from trainables.protocol import Budget, Evaluation
from tuner.assignment import ASSIGNMENT
from tuner.checkpoints import Checkpoints
from tuner.limits import Limits
from tuner.rungs import SuccessiveHalving
from tuner.search import StudyScheduler, StudySearcher
from tuner.study import StopReason, SweepStudy
from tuner.trial_record import TrialRecord
from tuner.trial_report import TrialReport
from tuner.work import Work

from .clock import Decision, Report, VirtualTrial
from .lcbench import SPACE, Curve

Reports = Callable[[Curve], list[Report]]
Curves = Callable[[Mapping[str, Any]], Curve]


class RayMethod:
    """A searcher of Ray's with a scheduler of Ray's, called as `TuneController` calls them."""

    def __init__(self, searcher: Searcher, scheduler: TrialScheduler, curves: Curves, reports: Reports) -> None:
        self._searcher = searcher
        self._scheduler = scheduler
        self._curves = curves
        self._reports = reports
        self._numbers = itertools.count()
        self._trials: list[VirtualTrial] = []
        self._pausing = isinstance(scheduler, HyperBandForBOHB)
        self._results: dict[str, dict[str, Any]] = {}
        # What HyperBandForBOHB asks of the controller.
        self._controller = cast(
            Any,
            SimpleNamespace(
                search_alg=SimpleNamespace(searcher=searcher),
                get_trials=lambda: self._trials,
                stop_trial=self._stop,
            ),
        )

    def next_trial(self) -> VirtualTrial | None:
        if not self._pausing:
            return self._new_trial()
        # Ray keeps one trial pending and lets the scheduler choose between it and the paused ones.
        if not any(trial.status == Trial.PENDING for trial in self._trials):
            self._trials.append(self._new_trial())
        return cast(VirtualTrial | None, self._scheduler.choose_trial_to_run(self._controller))

    def on_report(self, trial: VirtualTrial, report: Report) -> Decision:
        result = {"score": report.score, "training_iteration": report.step, "time_total_s": report.seconds}
        self._results[trial.trial_id] = result
        decision = self._scheduler.on_trial_result(self._controller, cast(Any, trial), result)
        if decision != TrialScheduler.STOP:
            self._searcher.on_trial_result(trial.trial_id, result)
        if decision == TrialScheduler.STOP or trial.done == len(trial.reports):
            self._stop(trial)
            return "STOP"
        return cast(Decision, decision)

    def _new_trial(self) -> VirtualTrial:
        trial_id = str(next(self._numbers))
        parameters = self._searcher.suggest(trial_id)
        assert parameters is not None  # none of these ever has enough
        trial = VirtualTrial(trial_id, parameters, self._reports(self._curves(parameters)))
        self._scheduler.on_trial_add(self._controller, cast(Any, trial))
        return trial

    def _stop(self, trial: VirtualTrial) -> None:
        result = self._results[trial.trial_id]
        if trial.status == Trial.RUNNING:
            self._scheduler.on_trial_complete(self._controller, cast(Any, trial), result)
            self._searcher.on_trial_complete(trial.trial_id, result=result)
        else:
            self._scheduler.on_trial_remove(self._controller, cast(Any, trial))
            self._searcher.on_trial_complete(trial.trial_id)
        trial.status = Trial.TERMINATED
        if trial in self._trials:
            self._trials.remove(trial)


class _NoRecord(TrialRecord):
    """Keeps no logs and no events."""

    def __init__(self) -> None: ...

    def begun(self, number: int, parameters: Mapping[str, Any]) -> None: ...

    def reported(self, number: int, step: int, evaluation: Evaluation, written: str) -> None: ...

    def ended(self, number: int, reason: StopReason, *, error: str | None = None, written: str = "") -> None: ...

    def left(self, number: int, why: str, written: str = "") -> None: ...


class OurMethod:
    """Our searcher and scheduler over one study in memory."""

    def __init__(
        self,
        sampler: Callable[[int], BaseSampler],
        rungs: SuccessiveHalving,
        curves: Curves,
        reports: Reports,
    ) -> None:
        study = SweepStudy.open(InMemoryStorage(), "virtual", SearchSpace(SPACE), sampler=sampler)
        work = Work(
            sweep="virtual",
            record=_NoRecord(),
            study=study,
            study_name="virtual",
            checkpoints=Checkpoints(cast(Any, _NoFiles())),
            trial_files=cast(Any, _NoFiles()),
            ray_results=Path(),
            trainable="none:None",
            data={},
            budget=Budget(unit="seconds", maximum=1.0),
            trials=None,
            limits=Limits(),
            rungs=rungs,
            steps=rungs.steps,
            resources={"cpu": 1},
            trials_at_once=1,
        )
        self.study = study
        self._searcher = StudySearcher(work)
        self._scheduler = StudyScheduler(work)
        self._curves = curves
        self._reports = reports
        self._ids = itertools.count()

    def next_trial(self) -> VirtualTrial:
        trial_id = str(next(self._ids))
        assignment = self._searcher.suggest(trial_id)[ASSIGNMENT]
        assert assignment.number == int(trial_id)
        return VirtualTrial(trial_id, assignment.parameters, self._reports(self._curves(assignment.parameters)))

    def on_report(self, trial: VirtualTrial, report: Report) -> Decision:
        evaluation = Evaluation(
            score=report.score / 100,
            budget_used=report.step / 1000,
            steps=report.step,
            training_seconds=report.seconds,
            evaluation_seconds=0.0,
        )
        told = TrialReport(number=int(trial.trial_id), step=report.step, evaluation=evaluation, facts={})
        decision = self._scheduler.on_trial_result(None, trial, {"report": told})
        if decision == TrialScheduler.STOP:
            self._searcher.on_trial_complete(trial.trial_id)
        return cast(Decision, decision)


class _NoFiles:
    """Nothing is kept."""

    def names(self, folder: str = "") -> list[str]:
        return []

    def remove(self, name: str) -> None:
        pass


def distributions() -> dict[str, BaseDistribution]:
    """The space in Optuna's terms."""
    found: dict[str, BaseDistribution] = {}
    for name, parameter in SPACE.items():
        if isinstance(parameter, Int):
            found[name] = IntDistribution(parameter.low, parameter.high, log=parameter.log)
        elif isinstance(parameter, Float):
            found[name] = FloatDistribution(parameter.low, parameter.high, log=parameter.log)
    return found
