"""Optuna's database storage, but one that waits for a server which is away for a while.

Servers are restarted for an update, or another machine takes over: some seconds, in which days of training must not
end. What a server cut off it rolled back, so that it can be asked again. Only where a commit was done and its answer
lost is it done twice: the same value is then written again; or a trial is left without a driver, which the drivers see
(`tuner/drivers.py`).
"""

import functools
import logging
import time
from collections.abc import Callable
from typing import Any

from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from tuner.errors import StudyError

PATIENCE = 180.0
"""Seconds that a server may be away."""

PAUSE = 1.0

log = logging.getLogger("voxtune")


class PatientStorage(RDBStorage):
    """Raises StudyError once the server was away for PATIENCE, and from then on at once, until it answers again."""

    def __init__(self, url: str, engine_kwargs: dict[str, Any], *, shown_as: str) -> None:
        """`shown_as`: how messages name it, its URL without a password."""
        super().__init__(url, engine_kwargs)
        self.shown_as = shown_as
        self._impatient = False


def patiently(ask: Callable[..., Any]) -> Callable[..., Any]:
    """`ask`, whose first argument is the storage, done again as long as the server is away."""

    @functools.wraps(ask)
    def ask_again(storage: PatientStorage, *arguments: Any, **named: Any) -> Any:
        end = None
        while True:
            try:
                answer = ask(storage, *arguments, **named)
            except Exception as error:
                cause = why_away(error)
                if cause is None:
                    raise
                now = time.monotonic()
                if end is None:
                    end = now if storage._impatient else now + PATIENCE
                    log.warning("storage: %s is away, waiting for it: %s", storage.shown_as, cause)
                if now >= end:
                    storage._impatient = True
                    raise StudyError(
                        f"storage: {storage.shown_as} could not be reached for {PATIENCE:g} s: {cause}; check that the "
                        "server runs, then go on by `voxtune resume`"
                    ) from error
                time.sleep(PAUSE)
            else:
                storage._impatient = False
                return answer

    return ask_again


def why_away(error: BaseException | None) -> str | None:
    """What a database server, or the network to it, said of being away, in a line; None for any other error."""
    while error is not None:
        if isinstance(error, OperationalError | InterfaceError) or (
            isinstance(error, DBAPIError) and error.connection_invalidated
        ):
            return " ".join(str(error.orig).split())
        error = error.__cause__
    return None


_BELOW_THE_CACHE = {"_create_new_trial", "_get_trials", "_set_trial_param", "_get_best_trial_id"}
"""What Optuna's cache in front of a database calls besides a storage's own methods."""

for _name in BaseStorage.__abstractmethods__ | _BELOW_THE_CACHE:
    if hasattr(RDBStorage, _name):
        setattr(PatientStorage, _name, patiently(getattr(RDBStorage, _name)))
