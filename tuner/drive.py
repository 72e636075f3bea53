"""One driver's work on a sweep: search, confirm, report, over whatever its study holds already."""

import math
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage

from tuner.artifacts import attach_best
from tuner.case_pictures import draw_at_end
from tuner.checkpoints import Checkpoints, checkpoints_of
from tuner.config import SweepConfig
from tuner.confirm import confirming_work, repeats_line, score_on_test_cases
from tuner.directory import SweepDirectory
from tuner.drivers import Abandoned, registered
from tuner.errors import USER_ERRORS, SweepFailed, SweepInterrupted
from tuner.failure import forget_failure, tell_failure
from tuner.limits import Limits, SearchClock
from tuner.memory_check import estimate_of, looking_ahead, memory_check
from tuner.metrics import publishing
from tuner.owner import own, own_storage
from tuner.plan_trials import plan_trials
from tuner.precision_choice import Measured, measured_formats
from tuner.preparation import Prepared
from tuner.provision import Provision, provide, training_data
from tuner.report import report_at_end
from tuner.results import Results, read_results
from tuner.rungs import SuccessiveHalving, rung_steps
from tuner.sampler import sampler_factory
from tuner.search import search
from tuner.session import Session, on_ray
from tuner.slots import TRIALS_A_SLOT
from tuner.storage import CONFIRM, SWEEP, open_storage, stored_name, takes_several_drivers
from tuner.study import DEVICES, SweepStudy
from tuner.sweep_terms import terms_of
from tuner.terminator import should_stop
from tuner.travel import reaching_nodes
from tuner.trial_record import TrialRecord
from tuner.view import View
from tuner.warm_start import EarlierBest
from tuner.work import Work, numbers


@dataclass
class Drive:
    """A driver of one sweep."""

    config: SweepConfig
    directory: SweepDirectory
    prepared: Prepared | None
    view: View
    join: bool = False
    """Whether another driver began the study: that one plans its trials and confirms the best."""

    earlier: Sequence[EarlierBest] = ()
    """What earlier sweeps found best."""

    report: bool = True
    """Whether one is written at the end, with pictures of the best model's cases."""

    began: bool = False
    """Whether a trial may have been begun."""

    driver: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    """Marks our trials in a study that several drivers share."""

    @contextmanager
    def owned(self) -> Iterator[None]:
        """While the block runs no other driver works on the sweep's directory, or writes its SQLite file."""
        with own(self.directory.root), own_storage(self.config.storage):
            yield

    def run(self, *, address: str | None, verbose: bool) -> Results:
        """Search, confirm and report.

        Raises ClusterError before a trial starts; SweepFailed if no trial gave a result; SweepInterrupted if the user
        stopped it.
        """
        try:
            return self._run(address=address, verbose=verbose)
        except SweepInterrupted:
            raise
        except Exception as failure:
            if self.began:
                tell_failure(self.directory, failure)
            raise

    def _run(self, *, address: str | None, verbose: bool) -> Results:
        try:
            with on_ray(
                self.config,
                self.directory,
                self.prepared,
                self.view,
                address=address,
                verbose=verbose,
                beside=self._looking_ahead,
            ) as session:
                self._search_and_confirm(session)
        except KeyboardInterrupt:
            if not self.began:
                raise
            self._report()
            go_on = f"voxtune resume {self.directory.root}"
            raise SweepInterrupted(f"Stopped. Nothing is lost; go on by: {go_on}") from None
        except Exception as failure:
            if self.began:
                self._report()
                if isinstance(failure, USER_ERRORS):  # they say that nothing was begun; but a disk may be full by now
                    raise SweepFailed(str(failure)) from failure
            raise
        self._report()
        results = read_results(self.directory)
        if results.trials["score"].isna().all():
            error = self.study().first_error()
            reason = f"the first error: {error}" if error else results.over or "none was trained"
            raise SweepFailed(f"no trial gave a result; {reason}; see {self.directory.root}")
        return results

    def _report(self) -> None:
        if self.report:
            report_at_end(self.directory)

    def study(self, sampler: Callable[[int], BaseSampler] | None = None) -> SweepStudy:
        """The sweep's study. Raises StudyError if its trials were made with other settings or data."""
        config = self.config
        return SweepStudy.open(
            self._storage(),
            stored_name(SWEEP, config.name, config.storage),
            config.search_space,
            terms=terms_of(config, self.prepared),
            objectives=config.search.objectives,
            seed=config.search.seed,
            sampler=sampler,
            driver=self.driver,
        )

    def _search_and_confirm(self, session: Session) -> None:
        config, view = self.config, self.view
        work = self._work(session)
        self.began = True
        forget_failure(self.directory)
        with (
            self._among_others(work.study),
            publishing(work, sweep=config.name),
            view.watching(work.study, title=config.name, endless=work.trials is None),
        ):
            over = search(work, tell=view.note)
        if not self.join:
            work.study.say_over(over)
        if over:
            view.note(f"The search ended: {over}")
        if self.join or not work.study.ranking():
            return
        confirmed = self._confirm(work) if config.confirm.top else None
        if self.prepared and self.prepared.split.test:
            with view.preparing():
                score_on_test_cases(
                    work,
                    confirmed,
                    dataset=self.prepared.dataset,
                    cases=self.prepared.split.test,
                    cluster=session.cluster,
                    progress=lambda done, of: view.progress("Test cases", done, of),
                )
        if self.prepared and self.report:
            with view.preparing():
                view.progress("Pictures of the best model's cases", 0, 1)
                draw_at_end(self.directory, work)
        attach_best(self.directory, work.study.optuna)

    def _confirm(self, work: Work) -> Work:
        """Train the best few again with other seeds."""
        name = stored_name(CONFIRM, self.config.name, self.config.storage)
        study = SweepStudy.open(self._storage(), name, work.study.space)
        repeats = confirming_work(work, study, self.config.confirm)
        with (
            publishing(repeats, sweep=f"{self.config.name}/confirm"),
            self.view.watching(study, title="confirm"),
        ):
            self.view.note(repeats_line(study))
            search(repeats, tell=self.view.note)
        return repeats

    def _work(self, session: Session) -> Work:
        """The search that the config describes, over its study."""
        config, size, view = self.config, self.config.resources, self.view
        data = training_data(config, self.prepared)
        if self.prepared:
            data["formats"] = measured_formats(
                config,
                self.prepared,
                self.directory,
                cluster=session.cluster,
                measured=session.measured,
                tell=view.note,
            )
        # All trials at once would leave the sampler nothing to learn from.
        few = math.ceil((config.search.trials or 0) / TRIALS_A_SLOT)
        given = provide(config, session.cluster, data=data, worth_growing_for=few, tell=view.note)
        share = given.share
        study = self.study(sampler=sampler_factory(config.search, slots=given.at_once))
        per_trial = (share.gpus or share.cpus) * size.workers_per_trial
        study.optuna.set_user_attr(DEVICES, {"GPU" if share.gpus else "core": per_trial})
        steps = rung_steps(config.budget.first_share, config.budget.reduction)
        return Work(
            sweep=config.name,
            study=study,
            study_name=SWEEP,
            checkpoints=self._checkpoints,
            trial_files=session.files,
            record=TrialRecord(self.directory, SWEEP),
            ray_results=self.directory.ray_results,
            trainable=config.trainable,
            data=reaching_nodes(given.data, self.prepared, session.cluster, tell=view.note),
            budget=config.budget.full,
            trials=plan_trials(study, config, self.earlier, joins=self.join),
            replaces_turned_away=config.search.sampler != "grid",
            limits=Limits(
                clock=SearchClock(study, keeps=not self.join),
                minutes=config.search.minutes,
                device_hours=config.search.device_hours,
                devices_per_trial=per_trial,
                little_to_gain=should_stop if config.search.terminate else None,
            ),
            rungs=SuccessiveHalving(steps, config.budget.reduction) if config.search.stop_early else None,
            steps=steps,
            resources=share.resources,
            workers=size.workers_per_trial,
            trials_at_once=given.at_once,
            slots=given.slots,
            trial_timeout=config.resources.trial_timeout,
            keep_models=max(config.search.keep_models, config.confirm.top),
            **self._fits(given),
            most_turned_away=config.search.turned_away,
            abandoned=Abandoned(study.optuna, self.driver) if takes_several_drivers(self.config.storage) else numbers,
        )

    def _fits(self, given: Provision) -> dict[str, Any]:
        """What of Work turns away configurations that can't fit; nothing, where it is not known what there is."""
        config, limit = self.config, given.share.memory_gib
        if limit is None or not config.resources.memory_estimate:
            return {}
        estimate = estimate_of(config.trainable, data=given.data, device=given.share.device)
        return {"too_large": memory_check(estimate, limit_gib=limit)}

    def _looking_ahead(self, after: Measured) -> AbstractContextManager[None]:
        """While Ray starts and while the search runs: estimates made ahead, where the search will ask for any."""
        config = self.config
        if not config.resources.memory_estimate:
            return nullcontext()
        device = "cuda" if config.resources.gpus_per_trial else "cpu"
        estimate = estimate_of(config.trainable, data=training_data(config, self.prepared), device=device)
        return looking_ahead(estimate, config.search_space, config.default, after=after)

    @property
    def _checkpoints(self) -> Checkpoints:
        return checkpoints_of(self.config, self.directory)

    def _among_others(self, study: SweepStudy) -> AbstractContextManager[None]:
        return registered(study.optuna, self.driver) if takes_several_drivers(self.config.storage) else nullcontext()

    def _storage(self) -> BaseStorage:
        return open_storage(self.config.storage, self.directory.journal, owner=True)
