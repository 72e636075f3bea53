"""Shows a sweep that another process runs, and ends as that one does: from its study and its directory alone.

    no study yet, a driver at work    waits for the first trial
    search                            its trials, as `voxtune run` shows them
    confirm                           the repeats of the best, as there
    folds                             what `voxtune train --folds` trains, while it does
    no driver at work                 says how the sweep ended

A journal is read on from where it was read before, so that a look at 400 trials takes a fraction of a millisecond.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal

import optuna
from optuna.trial import TrialState

from tuner.directory import SweepDirectory
from tuner.drivers import living_drivers
from tuner.errors import StudyError
from tuner.failure import told_failure
from tuner.followed import Followed
from tuner.owner import read_owner
from tuner.reading import StudyReader
from tuner.standing import Standing
from tuner.storage import CONFIRM, FOLDS, SWEEP, takes_several_drivers
from tuner.study import OVER, SweepStudy, is_planned
from tuner.view import View

LOOK_SECONDS = 1.0
"""Between two looks at whether the stage or the sweep is over."""

log = logging.getLogger("voxtune")

Ending = Literal["finished", "failed", "interrupted", "died"]
"""How a sweep ended that no driver works on: as it was to; with no result, or since it could not go on; stopped, to be
resumed; with its driver."""


def watch(run: str | SweepDirectory, *, runs: Path = Path("runs"), view: View | None = None) -> Ending:
    """Show a sweep while others work on it, until nobody does. Changes nothing.

    Args:
        run: the sweep's directory, or its name in the folder `runs`.
        view: where it is shown; by default here, in a notebook as a table.

    Raises SweepDirectoryError if there is no such sweep, StudyError if its study can't be read or was never begun.
    """
    directory = SweepDirectory.find(run, runs) if isinstance(run, str) else run
    return _Watch(directory, view or View()).to_the_end()


class _Watch:
    def __init__(self, directory: SweepDirectory, view: View) -> None:
        self._directory, self._view = directory, view
        self._reader = StudyReader(directory)
        self._config = self._reader.config
        self._shared = takes_several_drivers(self._config.storage)

    def to_the_end(self) -> Ending:
        name = self._config.name
        if not self._is(SWEEP, _begun):
            self._view.note(f"{name}: no trial was begun yet")
            self._wait(lambda: self._is(SWEEP, _begun))
        search = self._reader.study(SWEEP)
        if search is None:
            raise StudyError(f"sweep {name}: no trial was begun yet, and no driver works on it any more")
        # A driver that was killed while it confirmed leaves a running trial there, and a longer search may follow.
        self._show(
            search,
            title=name,
            endless=self._config.search.endless,
            until=lambda: (self._is(CONFIRM, _running) or self._is(FOLDS, _running)) and not _running(search),
        )
        confirm = self._reader.study(CONFIRM)
        if confirm is not None and _begun(confirm):
            self._show(confirm, title="confirm", endless=False, until=lambda: self._is(FOLDS, _running))
        folds = self._reader.study(FOLDS)
        if folds is not None and _running(folds) and self._driven(folds):
            self._show(folds, title="folds", endless=False, until=lambda: False)
        self._wait(lambda: False, search)  # a driver whose last stage is over has yet to leave
        return self._ending(search, confirm)

    def _show(self, study: SweepStudy, *, title: str, endless: bool, until: Callable[[], bool]) -> None:
        """Show the study until something is so, or nobody works on the sweep any more."""
        elapsed = _elapsed(study, driven=self._driven(study))
        followed = Followed(study, title=title, endless=endless, elapsed=elapsed, driven=lambda: self._driven(study))
        if not self._view.draws:  # lines tell what is new alone
            self._view.note(f"{title}: {followed.standing().counts()}")
        with self._view.showing(followed):
            self._wait(until, study)

    def _wait(self, until: Callable[[], bool], study: SweepStudy | None = None) -> None:
        """Wait until something is so, or nobody works on the sweep any more."""
        while True:
            try:
                if until() or not self._driven(study):
                    return
            except optuna.exceptions.StorageInternalError as error:
                log.warning("%s: the study can't be read for the moment: %s", self._config.name, error)
            time.sleep(LOOK_SECONDS)

    def _driven(self, study: SweepStudy | None) -> bool:
        """Whether a driver is at work: on this directory or, on a database server, in the study."""
        owner = read_owner(self._directory.root)
        if owner is not None and owner.alive:
            return True
        if not self._shared or study is None:
            return False
        return bool(living_drivers(study.optuna))

    def _is(self, name: str, true: Callable[[SweepStudy], bool]) -> bool:
        study = self._reader.study(name)
        return study is not None and true(study)

    def _ending(self, search: SweepStudy, confirm: SweepStudy | None) -> Ending:
        if not self._shared and read_owner(self._directory.root) is not None:
            return "died"
        if told_failure(self._directory) is not None:
            return "failed"
        trials = search.trials()
        stages = [] if search.optuna.user_attrs.get(OVER) else [(trials, self._config.search.endless)]
        if confirm is not None:
            stages.append((confirm.trials(), False))
        for stage, endless in stages:
            standing = Standing.of(stage, endless=endless, driven=False)
            if standing.to_go or standing.interrupted:
                return "interrupted"
        return "finished" if any(trial.intermediate_values for trial in trials) else "failed"


def _begun(study: SweepStudy) -> bool:
    return any(not is_planned(trial) for trial in study.trials())


def _running(study: SweepStudy) -> bool:
    return bool(study.trials(TrialState.RUNNING))


def _elapsed(study: SweepStudy, *, driven: bool) -> float:
    """Seconds since the study's first trial began, until now or, where nobody works on it, until its last one ended."""
    trials = study.trials()
    began = min((trial.datetime_start for trial in trials if trial.datetime_start), default=None)
    if began is None:
        return 0.0
    ended = max((trial.datetime_complete for trial in trials if trial.datetime_complete), default=began)
    return ((datetime.now() if driven else ended) - began).total_seconds()
