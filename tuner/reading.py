"""Reads a sweep's studies again and again while others write them."""

import optuna
from optuna.storages import BaseStorage

from search_spaces.space import parse_space
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.storage import open_storage, stored_name
from tuner.study import SweepStudy


class StudyReader:
    """The studies of one sweep. The storage stays open: a journal is read on from where it was read before."""

    def __init__(self, directory: SweepDirectory) -> None:
        """Raises SweepConfigError if the sweep's file can't be read."""
        self.config = SweepConfig.read(directory.sweep_file)
        self._journal = directory.journal
        self._storage: BaseStorage | None = None

    def study(self, name: str) -> SweepStudy | None:
        """The study `sweep` or `confirm`; None where there is none yet. Raises StudyError if it can't be read."""
        config = self.config
        if self._storage is None:
            if config.storage is None and not self._journal.is_file():
                return None
            self._storage = open_storage(config.storage, self._journal)
        stored = stored_name(name, config.name, config.storage)
        if stored not in optuna.get_all_study_names(self._storage):
            return None
        study = optuna.load_study(study_name=stored, storage=self._storage)
        space = study.user_attrs.get("space")  # written a moment after the study was made
        return None if space is None else SweepStudy(study, parse_space(space))
