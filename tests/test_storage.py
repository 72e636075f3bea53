"""Opening a study's storage: what is made by whom, and what a user reads when it can't be opened."""

import sqlite3
import threading
import time
from pathlib import Path

import optuna
import pytest

from tuner.errors import StudyError
from tuner.storage import holds_password, open_storage, shown_url, sqlite_file, stored_name, stored_studies

NO_JOURNAL = Path("/nowhere/study.journal")


def refusal(url: str, *, owner: bool = True) -> str:
    """What a user reads who names `url`; told within seconds."""
    begun = time.monotonic()
    with pytest.raises(StudyError) as caught:
        open_storage(url, NO_JOURNAL, owner=owner)
    assert time.monotonic() - begun < 10
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@host/db", "postgresql://me:***@host/db"),
        ("postgresql+psycopg://me:se%40cret@host:5433/db", "postgresql+psycopg://me:***@host:5433/db"),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db?password=***&user=me"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("sqlite:////data/studies.db", "sqlite:////data/studies.db"),
        ("postgresql://me:secret@host:port/db", "postgresql://me:***@host:port/db"),
        ("postgresql://me:se@cr:et@host:port/db", "postgresql://me:***@host:port/db"),
        ("postgresql://host:port/db?password=secret&user=me", "postgresql://host:port/db?password=***&user=me"),
    ],
)
def test_password_is_never_shown(url, shown):
    assert shown_url(url) == shown


@pytest.mark.parametrize(
    ("url", "holds"),
    [
        (None, False),
        ("sqlite:////data/a.db", False),
        ("postgresql://me@host/db", False),
        ("postgresql://me:@host/db", False),
        ("${STUDIES}", False),
        ("postgresql://${USER}:${PASSWORD}@${HOST}:${PORT}/db", False),
        ("postgresql://me@host/db?password=${PASSWORD}", False),
        ("postgresql://me:hunter2@host:${PORT}/db", True),
        ("postgresql://me:hunter${PASSWORD}@host/db", True),
        ("postgresql://me@host/db?password=hunter2", True),
    ],
)
def test_whether_a_password_stands_in_the_url(url, holds):
    assert holds_password(url) is holds


def test_sqlite_file_of_a_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sqlite_file("sqlite:////data/studies.db") == Path("/data/studies.db")
    assert sqlite_file("sqlite:///studies.db") == tmp_path / "studies.db"
    assert sqlite_file("sqlite://") is None
    assert sqlite_file("postgresql://host/db") is None


def test_a_database_holds_many_sweeps_and_a_journal_one():
    assert stored_name("confirm", "heart", None) == "confirm"
    assert stored_name("confirm", "heart", "sqlite:///x.db") == "heart/confirm"


def test_missing_folder_of_an_sqlite_file(tmp_path):
    url = f"sqlite:///{tmp_path}/missing/study.db"
    assert refusal(url) == f"storage: {url}: the folder {tmp_path}/missing does not exist; make it first"
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_sqlite_in_memory_keeps_nothing(url):
    assert "names no file, so nothing is kept; say sqlite:////FOLDER/FILE" in refusal(url)


def test_reader_makes_no_file(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    assert refusal(url, owner=False) == f"storage: {url}: no study there: no trial was begun yet"
    assert stored_studies(url) == []
    with pytest.raises(StudyError, match="no trial was begun yet"):
        open_storage(None, tmp_path / "study.journal")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_reader_finds_what_the_owner_made(tmp_path, kind):
    journal = tmp_path / "study.journal"
    url = None if kind == "journal" else f"sqlite:///{tmp_path}/study.db"
    optuna.create_study(storage=open_storage(url, journal, owner=True), study_name="s")
    assert url is None or stored_studies(url) == ["s"]
    assert optuna.load_study(study_name="s", storage=open_storage(url, journal)).get_trials() == []


def test_a_database_of_something_else_is_left_alone(tmp_path):
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE birds (name TEXT)")
    before = file.read_bytes()
    url = f"sqlite:///{file}"
    assert refusal(url, owner=False) == f"storage: {url} holds no study: no trial was begun yet"
    assert file.read_bytes() == before


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "notes.txt").write_text("no database, but long enough to look like one")
    url = f"sqlite:///{tmp_path}/notes.txt"
    assert refusal(url) == f"storage: {url} is a file, but no SQLite database; name another"


def test_another_version_of_optuna(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    optuna.create_study(storage=open_storage(url, NO_JOURNAL, owner=True))
    with sqlite3.connect(tmp_path / "study.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v2.6.0.a'")
    for owner in (True, False):
        message = refusal(url, owner=owner)
        assert message.startswith(f"storage: {url} was made by another version of Optuna: nothing was changed; ")
        assert "`optuna storage upgrade --storage URL`" in message


def test_a_server_that_is_not_there():
    message = refusal("postgresql://me:secret@127.0.0.1:9/db")
    assert message.startswith("storage: postgresql://me:***@127.0.0.1:9/db can't be reached: connection failed")
    assert "Connection refused" in message
    assert message.endswith("check host, port and database name, and that the server runs")


def test_a_driver_module_that_is_not_installed():
    message = refusal("mysql+aiomysql://me:secret@host/db")
    assert "needs a Python module that is missing (No module named 'aiomysql')" in message
    assert message.endswith("install it: pip install 'aiomysql'")
    assert "secret" not in message


@pytest.mark.parametrize("url", ["study.db", "postgresql://me:secret@host:port/db"])
def test_what_is_no_url(url):
    assert refusal(url).startswith(f"storage: {shown_url(url)} is not a database URL; for example sqlite:////")


def test_an_unknown_database():
    expected = "storage: oracular://me:***@host/db names a database that SQLAlchemy does not know; use sqlite:///FILE"
    assert refusal("oracular://me:secret@host/db").startswith(expected)


def test_a_password_may_hold_braces():
    message = refusal("postgresql://me:{sec}ret@127.0.0.1:9/db")
    assert "postgresql://me:***@127.0.0.1:9/db can't be reached" in message


@pytest.mark.slow
def test_sqlite_writer_waits_for_a_reader(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    study = optuna.create_study(storage=open_storage(url, NO_JOURNAL, owner=True))
    reader = sqlite3.connect(tmp_path / "study.db", check_same_thread=False)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM studies").fetchall()  # holds a shared lock, past SQLite's usual patience of 5 s
    threading.Timer(6, reader.rollback).start()
    begun = time.monotonic()
    study.ask()
    assert time.monotonic() - begun > 5
    assert len(study.get_trials()) == 1
