"""Reads a sweep's studies again and again while others write them."""

import optuna
from optuna.storages import BaseStorage

from search_spaces.space import parse_space
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.storage import open_storage, storage_place, stored_name
from tuner.stored_study import load_study
from tuner.study import SweepStudy


class StudyReader:
    """The studies of one sweep. The storage stays open: a journal is read on from where it was read before."""

    def __init__(self, directory: SweepDirectory) -> None:
        """Raises SweepConfigError if the sweep's file can't be read."""
        self.config = SweepConfig.read(directory.sweep_file)
        self._journal = directory.journal
        self._storage: BaseStorage | None = None
        self._checked: set[str] = set()

    def study(self, name: str) -> SweepStudy | None:
        """The study `sweep`, `confirm` or `folds`; None where there is none yet.

        Raises StudyError if it can't be read.
        """
        config = self.config
        if self._storage is None:
            if config.storage is None and not self._journal.is_file():
                return None
            self._storage = open_storage(config.storage, self._journal)
        study = self._load(stored_name(name, config.name, config.storage), self._storage)
        if study is None:
            return None
        space = study.user_attrs.get("space")  # written a moment after the study was made
        return None if space is None else SweepStudy(study, parse_space(space))

    def _load(self, stored: str, storage: BaseStorage) -> optuna.Study | None:
        """All of the study is checked when it is first read: what comes later is of the driver that is watched."""
        if stored in self._checked:
            return optuna.load_study(study_name=stored, storage=storage)
        study = load_study(storage, stored, where=storage_place(self.config.storage, self._journal))
        if study is not None:
            self._checked.add(stored)
        return study
