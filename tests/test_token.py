"""Where a cluster's token is found."""

import re
import stat
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.token import find_token


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a token, and no variables."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("from home\n")
    return tmp_path


def test_the_variable_goes_before_the_named_file_and_that_before_the_home_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_token()
    assert found is not None
    assert (found.secret, found.source) == ("from home", str(home / ".ray" / "auth_token"))
    assert found.headers == {"Authorization": "Bearer from home"}

    (home / "named").write_text("from file")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "named"))
    found = find_token()
    assert found is not None
    assert (found.secret, found.source) == ("from file", str(home / "named"))

    monkeypatch.setenv("RAY_AUTH_TOKEN", "from variable")
    found = find_token()
    assert found is not None
    assert (found.secret, found.source) == ("from variable", "RAY_AUTH_TOKEN")


def test_none_at_home_is_none_but_a_named_file_must_hold_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".ray" / "auth_token").write_text("")
    assert find_token() is None
    (home / ".ray" / "auth_token").unlink()
    assert find_token() is None

    named = home / "named"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(named))
    with pytest.raises(ClusterError, match=f"RAY_AUTH_TOKEN_PATH: no token can be read from {re.escape(str(named))}"):
        find_token()
    named.touch()
    with pytest.raises(ClusterError, match="named is empty; it must hold the cluster's token"):
        find_token()


def test_it_is_not_shown() -> None:
    assert "from home" not in repr(find_token())


def test_the_one_at_home_becomes_its_owner_s_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_home, named = home / ".ray" / "auth_token", home / "named"
    named.write_text("a lab's")
    for file in (at_home, named):
        file.chmod(0o644)  # as Ray makes it
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(named))
    find_token()
    assert stat.S_IMODE(at_home.stat().st_mode) == 0o600
    assert stat.S_IMODE(named.stat().st_mode) == 0o644  # that others of the lab read it is its owner's choice
