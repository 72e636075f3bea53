"""The drivers that work on one study together, and which of them are dead.

Each driver of a study on a database server leaves a study attribute `driver:<id>` and renews its `beat` while it
lives; the RUNNING trials of a dead driver may be released by any other. Beats are by the database's clock, because the
drivers' hosts may disagree.

    enter    driver:a1b2 = {host, boot, pid, started, beat}
    beat     driver:a1b2 with a new beat, every 15 s
    leave    driver:a1b2 = null       it holds no trials any more
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy import func, select

from tuner.background import beating
from tuner.patient_storage import PatientStorage, patiently
from tuner.process import Process
from tuner.study import DRIVER

BEAT_SECONDS = 15.0

DEAD_SECONDS = 90.0
"""Age of the last beat at which a driver on another host counts as dead."""

_ATTRIBUTE = "driver:"

log = logging.getLogger("voxtune")


@contextmanager
def registered(study: optuna.Study, driver: str) -> Iterator[None]:
    """While the block runs, `driver` is among the study's living drivers.

    Args:
        driver: an id that no other driver has, also not one that resumes the same sweep.
    """
    _beat(study, driver)
    try:
        with beating(lambda: _try_to_beat(study, driver), every=BEAT_SECONDS, name="driver heartbeat"):
            yield
    finally:
        study.set_user_attr(_ATTRIBUTE + driver, None)


class Abandoned:
    """Which running trials have no living driver, as one driver of the study sees it."""

    def __init__(self, study: optuna.Study, driver: str) -> None:
        self._study = study
        self._driver = driver
        self._unmarked_since: dict[int, float] = {}

    def __call__(self, running: Sequence[FrozenTrial]) -> list[int]:
        """The numbers of those among `running` that this driver is to release.

        Only one driver may, the living one with the lowest id: of two, the second would take the trial away from the
        driver that has claimed it meanwhile.
        """
        if not running:
            return []
        dead = dead_drivers(self._study)
        if min(known_drivers(self._study).keys() - dead, default=self._driver) != self._driver:
            return []
        now = time.monotonic()
        unmarked = [trial.number for trial in running if trial.user_attrs.get(DRIVER) is None]
        self._unmarked_since = {number: self._unmarked_since.get(number, now) for number in unmarked}
        # One that was claimed a moment ago names no driver yet.
        lost = [number for number, since in self._unmarked_since.items() if now - since > DEAD_SECONDS]
        return lost + [trial.number for trial in running if trial.user_attrs.get(DRIVER) in dead]


def known_drivers(study: optuna.Study) -> dict[str, dict[str, Any] | None]:
    """What each driver that ever worked on the study last said of itself, by id; None from one that has left."""
    attributes = study.user_attrs.items()
    return {name.removeprefix(_ATTRIBUTE): entry for name, entry in attributes if name.startswith(_ATTRIBUTE)}


def dead_drivers(study: optuna.Study) -> set[str]:
    """The ids of the drivers that left the study or died: nobody works on their trials.

    A driver on this host is dead once its process is gone; any other one DEAD_SECONDS after its last beat.
    """
    now = _now(study)
    return {driver for driver, entry in known_drivers(study).items() if entry is None or _is_dead(entry, now)}


def living_drivers(study: optuna.Study) -> set[str]:
    """The ids of the drivers that work on the study, as far as can be told from here."""
    return known_drivers(study).keys() - dead_drivers(study)


def _is_dead(entry: dict[str, Any], now: float) -> bool:
    process = Process(**{name: value for name, value in entry.items() if name != "beat"})
    if process.is_here():
        return not process.lives()
    return now - entry["beat"] > DEAD_SECONDS


def _beat(study: optuna.Study, driver: str) -> None:
    study.set_user_attr(_ATTRIBUTE + driver, {**asdict(Process.current()), "beat": _now(study)})


def _try_to_beat(study: optuna.Study, driver: str) -> None:
    try:
        _beat(study, driver)
    except Exception as error:  # the database is away for a moment; the search itself says so if it stays away
        log.warning("driver %s: no heartbeat: %s", driver, error)


def _now(study: optuna.Study) -> float:
    """Seconds since the epoch, by the database's clock where there is a database."""
    storage = study._storage
    database: Any = getattr(storage, "_backend", storage)
    if not hasattr(database, "engine"):
        return time.time()
    ask = patiently(_clock) if isinstance(database, PatientStorage) else _clock
    return _epoch(ask(database))


def _clock(database: RDBStorage) -> Any:
    """What time the database says it is."""
    engine = database.engine
    clock = func.utc_timestamp() if engine.dialect.name in ("mysql", "mariadb") else func.current_timestamp()
    with engine.connect() as connection:
        return connection.execute(select(clock)).scalar_one()


def _epoch(told: Any) -> float:
    """A database's time as seconds since the epoch; without a time zone it is UTC."""
    moment = datetime.fromisoformat(told) if isinstance(told, str) else told
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
