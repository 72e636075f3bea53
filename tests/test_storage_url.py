"""Environment variables in a storage URL."""

import pytest
from sqlalchemy import make_url

from tuner.errors import StudyError, SweepConfigError
from tuner.storage import open_storage
from tuner.storage_url import expanded_url

SECRET = "p@ss/w:rd%{x}"


def test_a_password_with_any_character_arrives_whole():
    url = make_url(expanded_url("postgresql://me:${DB_PASSWORD}@host/db", {"DB_PASSWORD": SECRET}))
    assert (url.username, url.password, url.host, url.database) == ("me", SECRET, "host", "db")


def test_host_and_options_are_taken_as_they_are():
    environment = {"DB_HOST": "db.example:5433", "USER": "me", "OPTIONS": "sslmode=require&x=1"}
    url = expanded_url("postgresql://${USER}@${DB_HOST}/db?${OPTIONS}", environment)
    assert url == "postgresql://me@db.example:5433/db?sslmode=require&x=1"


def test_a_variable_may_hold_the_whole_url():
    assert expanded_url("${STUDIES}", {"STUDIES": "sqlite:////data/a.db"}) == "sqlite:////data/a.db"


def test_a_url_without_variables_stays():
    assert expanded_url("sqlite:////data/$a}.db", {}) == "sqlite:////data/$a}.db"


@pytest.mark.parametrize("environment", [{}, {"DB_PASSWORD": ""}])
def test_a_missing_variable_is_named_and_the_url_is_not_shown(environment):
    with pytest.raises(SweepConfigError) as error:
        expanded_url("postgresql://me:hunter2${DB_PASSWORD}@host/db", environment)
    assert str(error.value) == "storage: the environment variable DB_PASSWORD is not set, or empty; the URL needs it"


def test_the_process_environment_is_the_default(monkeypatch):
    monkeypatch.setenv("VOXTUNE_TEST_HOST", "db")
    assert expanded_url("postgresql://${VOXTUNE_TEST_HOST}/x") == "postgresql://db/x"


def test_a_database_is_opened_by_its_expanded_url(tmp_path, monkeypatch):
    monkeypatch.setenv("VOXTUNE_TEST_FOLDER", str(tmp_path))
    url = "sqlite:///${VOXTUNE_TEST_FOLDER}/a.db"
    open_storage(url, tmp_path / "unused", owner=True).remove_session()
    assert (tmp_path / "a.db").is_file()
    monkeypatch.setenv("VOXTUNE_TEST_PASSWORD", SECRET)
    with pytest.raises(StudyError) as error:
        open_storage("postgresql+nothing://me:${VOXTUNE_TEST_PASSWORD}@localhost:1/db", tmp_path)
    assert "postgresql+nothing://me:***@localhost:1/db names a database that" in str(error.value)
