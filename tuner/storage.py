"""Where a study is kept: a journal file by default, or any database that Optuna can reach by URL."""

from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from tuner.errors import StudyError

SWEEP = "sweep"
"""The study of the search itself."""

CONFIRM = "confirm"
"""The study of its best configurations, trained again with other seeds."""


def stored_name(study: str, sweep: str, url: str | None) -> str:
    """The name of a sweep's study in its storage: a database, unlike a journal, may hold many sweeps."""
    return study if url is None else f"{sweep}/{study}"


def open_storage(url: str | None, journal: Path) -> BaseStorage:
    """Open the storage at `url`, or the journal file if there is none.

    Raises StudyError if it can't be opened.
    """
    try:
        if url is not None:
            return optuna.storages.get_storage(url)
        return JournalStorage(JournalFileBackend(str(journal)))
    except Exception as error:  # SQLAlchemy, driver and file errors have no common parent
        raise StudyError(f"study storage {url or journal} can't be opened: {error}") from error
