"""Where a study is kept: a journal file by default, or any database that Optuna can reach by URL."""

import re
import time
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from tuner.errors import StudyError
from tuner.journal import open_journal
from tuner.patient_storage import PatientStorage
from tuner.storage_url import VARIABLE, expanded_url

SWEEP = "sweep"
"""The study of the search itself."""

CONFIRM = "confirm"
"""The study of its best configurations, trained again with other seeds."""

FOLDS = "folds"
"""The study of configurations that are trained on every fold, each to be validated by the cases that it did not see."""

CONNECT_SECONDS = 5
"""How long a database server may take to answer."""

BUSY_SECONDS = 60
"""How long a writer or reader of an SQLite file waits for another's lock."""

DRIVER_PACKAGES = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "mysqldb": "mysqlclient"}
"""What to install for a driver of SQLAlchemy, where the package is not named as the driver."""

_SECRETS = ("password", "passwd", "sslpassword")


def stored_name(study: str, sweep: str, url: str | None) -> str:
    """The name of a sweep's study in its storage: a database, unlike a journal, may hold many sweeps."""
    return study if url is None else f"{sweep}/{study}"


def storage_place(url: str | None, journal: Path) -> str:
    """What errors call the storage: its URL without a password, or the journal."""
    return f"study journal {journal}" if url is None else f"storage: {shown_url(url)}"


def open_storage(url: str | None, journal: Path, *, owner: bool = False) -> BaseStorage:
    """Open the storage at `url`, or the journal file if there is none.

    Args:
        owner: whether to write. Only an owner makes or mends anything: the journal, an SQLite file, Optuna's tables.

    Raises StudyError, within seconds, if it can't be opened, or if a reader finds nothing there.
    """
    return open_journal(journal, owner=owner) if url is None else _open_url(url, owner=owner)


def _open_url(url: str, *, owner: bool) -> _CachedStorage:
    parsed = _parsed(url)
    file = sqlite_file(url)
    if file is None and parsed.get_backend_name() == "sqlite":
        raise StudyError(f"storage: {shown_url(url)} names no file, so nothing is kept; say sqlite:////FOLDER/FILE")
    if file is not None and not file.parent.is_dir():
        raise StudyError(f"storage: {shown_url(url)}: the folder {file.parent} does not exist; make it first")
    if file is not None and not owner and not file.is_file():
        raise StudyError(f"storage: {shown_url(url)}: no study there: no trial was begun yet")
    try:
        return _CachedStorage(_open_database(expanded_url(url), _engine_options(parsed), owner=owner))
    except Exception as error:  # SQLAlchemy, driver and Optuna errors have no common parent
        raise StudyError(f"storage: {shown_url(url)} {_problem(parsed, error)}") from error


def stored_studies(url: str) -> list[str]:
    """The names of the studies in a database; an SQLite file is not made where there is none yet.

    Raises StudyError if it can't be opened.
    """
    file = sqlite_file(url)
    if file is not None and not file.is_file() and file.parent.is_dir():
        return []
    # An owner makes Optuna's tables in a server's database, which would otherwise be refused while it is empty.
    storage = _open_url(url, owner=file is None)
    try:
        return optuna.get_all_study_names(storage)
    finally:
        storage.remove_session()
        storage._backend.engine.dispose()  # no connection left open for this one question


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite URL; None for a server's database, or one in memory."""
    parsed = _parsed(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    return Path(str(parsed.database)).absolute()


def takes_several_drivers(url: str | None) -> bool:
    """Whether drivers of several directories may work on the studies in a storage: only a database server lets them."""
    return url is not None and sqlite_file(url) is None


def shown_url(url: str) -> str:
    """The URL as it may be printed and logged: each password in it is `***`."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return re.sub(rf"(//[^:/@]*:).*@|((?:{'|'.join(_SECRETS)})=)[^&]*", _without_secret, url)
    secrets = {name: "***" for name in _SECRETS if name in parsed.query}
    return parsed.update_query_dict(secrets).render_as_string(hide_password=True).replace("%2A%2A%2A", "***")


def holds_password(url: str | None) -> bool:
    """Whether a password stands in the URL itself, not only the name of a variable that holds one."""
    try:
        parsed = make_url(VARIABLE.sub("0", url or ""))  # a digit, since a variable may stand for the port
    except (ArgumentError, ValueError):
        return False  # one variable holds the whole URL, or it can't be opened
    secrets = [parsed.password, *(parsed.query.get(name) for name in _SECRETS)]
    return any(str(secret).strip("0") for secret in secrets if secret)


def _without_secret(found: re.Match[str]) -> str:
    return f"{found[1]}***@" if found[1] else f"{found[2]}***"


def _parsed(url: str) -> URL:
    expanded = expanded_url(url)
    try:
        return make_url(expanded)
    except (ArgumentError, ValueError) as error:
        raise StudyError(
            f"storage: {shown_url(url)} is not a database URL; for example sqlite:////data/studies.db or "
            "postgresql://user:${PGPASSWORD}@host/database"
        ) from error


def _engine_options(url: URL) -> dict[str, Any]:
    """What SQLAlchemy's engine gets besides the URL."""
    if url.get_backend_name() == "sqlite":
        # Rollback journal and patience, not write-ahead logging, which breaks on network file systems.
        return {"connect_args": {"timeout": BUSY_SECONDS}}
    patience = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_SECONDS}
    return {"connect_args": patience, "pool_pre_ping": True}  # a server may restart while trials train


def _open_database(url: str, options: dict[str, Any], *, owner: bool) -> RDBStorage:
    """Optuna's storage. Several drivers may begin at once, and making the tables is no atomic step: try again."""
    template = url.replace("{", "{{").replace("}", "}}")  # Optuna formats the URL, and a password may hold braces
    for pause in (0.2, 0.5, 1.0, None):
        try:
            if not owner or sqlite_file(url) is not None:
                return RDBStorage(template, options, skip_table_creation=not owner)
            return PatientStorage(template, options, shown_as=shown_url(url))
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            if not owner or pause is None or not re.search("already exists|duplicate key", _cause(error)):
                raise
            time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _problem(url: URL, error: Exception) -> str:
    """What went wrong with a database, and what to do."""
    backend = url.get_backend_name()
    cause = _cause(error)
    if isinstance(error, NoSuchModuleError):
        return "names a database that SQLAlchemy does not know; use sqlite:///FILE, postgresql://... or mysql://..."
    if isinstance(error, ImportError):
        driver = url.get_driver_name()
        package = DRIVER_PACKAGES.get(driver, driver)
        return f"needs a Python module that is missing ({cause}); install it: pip install '{package}'"
    if isinstance(error, RuntimeError) and "schema" in str(error):
        return (
            "was made by another version of Optuna: nothing was changed; save a copy, then "
            f"`optuna storage upgrade --storage URL`, or install that version ({error})"
        )
    if "no such table" in cause or re.search('relation "[^"]*" does not exist', cause):
        return "holds no study: no trial was begun yet"
    if "password" in cause or "authentication" in cause or "Access denied" in cause:
        return f"refused user {url.username!r}: {cause}; check user and password"
    if "is not a database" in cause:
        return "is a file, but no SQLite database; name another"
    if backend == "sqlite":
        return f"can't be opened: {cause}; check that you may write the file and its folder"
    return f"can't be reached: {cause}; check host, port and database name, and that the server runs"


def _cause(error: Exception) -> str:
    """The first error in one line: what the database said, without SQLAlchemy's statement and links."""
    root: BaseException = error
    while (below := getattr(root, "orig", None) or root.__cause__) is not None:
        root = below
    return " ".join(str(root).split())
