"""Trains the best configurations of a sweep, or a single one, on every fold: trials of a study of their own.

    study `folds`   a trial trains one configuration on all folds but one, to the full budget, and is validated on that
    same command    finished trainings stay, interrupted ones go on, failed ones are tried again

As the confirm stage it is a search in which nothing is proposed and nobody is stopped.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from trainables.split import Split
from tuner.checkpoints import Checkpoints, checkpoints_of
from tuner.cross_validation import CrossValidation, place_of
from tuner.cross_validation_report import write_cross_validation
from tuner.ensemble import FoldModels
from tuner.errors import USER_ERRORS, SweepFailed, SweepInterrupted
from tuner.fold_plan import FoldPlan, make_folder
from tuner.interrupt import terminated_as_interrupted
from tuner.limits import Limits
from tuner.markdown import last_line
from tuner.metrics import publishing
from tuner.owner import own, own_storage
from tuner.precision_choice import measured_formats
from tuner.provision import provide, training_data
from tuner.quiet import library_messages
from tuner.rungs import rung_steps
from tuner.search import search
from tuner.session import Session, on_ray
from tuner.storage import FOLDS, open_storage, stored_name
from tuner.study import SweepStudy
from tuner.travel import reaching_nodes
from tuner.trial_record import TrialRecord
from tuner.view import View
from tuner.work import Work

CONFIGURATIONS = "configurations"
"""The study's attribute that holds the parameters of each configuration, by its number as text."""


@terminated_as_interrupted()
def train_folds(
    plan: FoldPlan, view: View, *, ensemble: bool = False, address: str | None = None, verbose: bool = False
) -> CrossValidation:
    """Train what `plan` names and has not been trained, and report.

    Args:
        ensemble: whether the models of the best configuration are gathered, and scored on the test cases.
        address: of a running Ray cluster (`auto` or `HOST:PORT`); None starts Ray on this machine.

    Raises StudyError or ClusterError before a training starts; SweepFailed if one gave no result; SweepInterrupted if
    the user stopped it.
    """
    folder = plan.directory.root
    if plan.results is None:
        make_folder(plan)
    training = FoldTraining(plan, view, ensemble)
    with own(folder), own_storage(plan.config.storage):  # else it may be another driver's that has just begun
        is_new = not plan.directory.journal.is_file()
        try:
            plan.directory.remove_torn_files()
            return training.run(address=address, verbose=verbose)
        finally:
            if plan.results is None and is_new and not training.began:
                shutil.rmtree(folder)


@dataclass(frozen=True)
class FoldMeaning:
    """What the parameters of a trial stand for. Ray Tune pickles it."""

    configurations: Mapping[str, Mapping[str, Any]]
    splits: Sequence[Split]

    def __call__(self, parameters: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The configuration's own parameters, and the cases that train and validate."""
        split = self.splits[parameters["fold"]]
        cases = {"train": list(split.train), "validation": list(split.validation)}
        return self.configurations[str(parameters["configuration"])], cases


@dataclass
class FoldTraining:
    """A driver of trainings on folds."""

    plan: FoldPlan
    view: View
    ensemble: bool = False
    began: bool = False
    """Whether a training may have been begun."""

    study: SweepStudy = field(init=False)

    def run(self, *, address: str | None, verbose: bool) -> CrossValidation:
        """Train what is missing, then say what came out."""
        with library_messages(None, verbose=verbose):
            self.study = self._open()
        if self._enqueue_missing() or (self.ensemble and self._models.are_untested(self._cross())):
            self._work_on_ray(address=address, verbose=verbose)
        return self._outcome()

    def _open(self) -> SweepStudy:
        """The study. Raises StudyError if its trainings were made with other settings, data or folds."""
        plan = self.plan
        storage = open_storage(plan.config.storage, plan.directory.journal, owner=True)
        name = stored_name(FOLDS, plan.config.name, plan.config.storage)
        study = SweepStudy.open(storage, name, plan.space, terms=plan.terms, seed=plan.seed, instead=plan.instead)
        known = study.optuna.user_attrs.get(CONFIGURATIONS, {})
        asked = {str(number): dict(parameters) for number, parameters in plan.configurations.items()}
        if known | asked != known:
            study.optuna.set_user_attr(CONFIGURATIONS, known | asked)
        return study

    def _enqueue_missing(self) -> int:
        """Queue what no trial has trained or will. Returns how many trainings are to do, earlier commands' too."""
        over = (TrialState.FAIL, TrialState.PRUNED)  # it failed, or did not fit in memory
        there = {place_of(trial) for trial in self.study.trials() if trial.state not in over}
        with self.study.together():
            for configuration in self.plan.configurations:
                for fold in range(len(self.plan.splits)):
                    if (configuration, fold) not in there:
                        self.study.enqueue({"configuration": configuration, "fold": fold}, seed=self.plan.seed)
        return sum(not trial.state.is_finished() for trial in self.study.trials())

    def _work_on_ray(self, *, address: str | None, verbose: bool) -> None:
        plan, view = self.plan, self.view
        try:
            with on_ray(
                plan.config,
                plan.directory,
                plan.prepared,
                view,
                address=address,
                verbose=verbose,
                measures=plan.results is not None,
            ) as session:
                work = self._work(session)
                self.began = True
                with (
                    publishing(work, sweep=f"{plan.config.name}/{FOLDS}"),
                    view.watching(self.study, title=f"{plan.config.name}: {FOLDS}" if plan.results else FOLDS),
                ):
                    search(work, tell=view.note)
                if self.ensemble:
                    self._models.test(self._cross(), work, session.cluster, view)
        except KeyboardInterrupt:
            if not self.began:
                raise
            raise SweepInterrupted("Stopped. Nothing is lost; go on by the same command") from None
        except USER_ERRORS as failure:
            if self.began:  # they say that nothing was begun; but a disk may be full by now
                raise SweepFailed(str(failure)) from failure
            raise

    def _work(self, session: Session) -> Work:
        plan, config, view = self.plan, self.plan.config, self.view
        data = training_data(config, plan.prepared)
        if plan.results is not None:  # as its trials had it; a configuration alone is trained as by `voxtune train`
            data["formats"] = measured_formats(
                config,
                plan.prepared,
                plan.directory,
                cluster=session.cluster,
                measured=session.measured,
                tell=view.note,
            )
        trials = len(self.study.trials())
        left = self.study.trials_left(trials)
        given = provide(config, session.cluster, data=data, worth_growing_for=left, tell=view.note)
        return Work(
            sweep=config.name,
            study=self.study,
            study_name=FOLDS,
            checkpoints=self._checkpoints,
            trial_files=session.files,
            record=TrialRecord(plan.directory, FOLDS),
            ray_results=plan.directory.ray_results,
            trainable=config.trainable,
            data=reaching_nodes(given.data, plan.prepared, session.cluster, tell=view.note),
            meaning=FoldMeaning(self.study.optuna.user_attrs[CONFIGURATIONS], plan.splits),
            budget=config.budget.full,
            trials=trials,
            limits=Limits(),
            rungs=None,
            # It is evaluated at rungs for the states to go on from, and for people who wait.
            steps=rung_steps(config.budget.first_share, config.budget.reduction),
            resources=given.share.resources,
            workers=config.resources.workers_per_trial,
            trials_at_once=given.at_once,
            slots=given.slots,
            keep_models=trials,
        )

    def _cross(self) -> CrossValidation:
        plan = self.plan
        return CrossValidation.of(self.study.trials(), plan.splits, groups=plan.groups, chosen_on=plan.chosen_on)

    def _outcome(self) -> CrossValidation:
        """What came out, reported. Raises SweepFailed if a training that was asked for gave no result."""
        plan, cross = self.plan, self._cross()
        if cross.ranking:
            if self.ensemble:
                self._models.gather(cross)
            known = self.study.optuna.user_attrs[CONFIGURATIONS]
            parameters = {number: known[str(number)] for number in cross.ranking}
            write_cross_validation(cross, plan, parameters, self._models.gathered())
            self._models.forget_losers(cross)
        asked = len(plan.configurations) * len(plan.splits)
        missing = asked - int(cross.runs["configuration"].isin(list(plan.configurations)).sum())
        if missing:
            raise SweepFailed(
                f"{missing} of {asked} trainings gave no result, the last one: {_why(self.study.trials())}; the same "
                f"command tries them again; see {plan.directory.root / 'logs'}"
            )
        return cross

    @property
    def _models(self) -> FoldModels:
        return FoldModels(self.study.optuna, self._checkpoints, self.plan)

    @property
    def _checkpoints(self) -> Checkpoints:
        return checkpoints_of(self.plan.config, self.plan.directory)


def _why(trials: Sequence[FrozenTrial]) -> str:
    """What ended the last one that failed."""
    for trial in reversed(trials):
        reason = trial.user_attrs.get("stop_reason")
        if reason == "out of memory":
            return "it does not fit in memory"
        if reason == "error":
            return last_line(trial.user_attrs.get("error", ""))
    return "it was not begun"
