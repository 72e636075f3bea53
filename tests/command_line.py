"""Runs `voxtune` in the test's own process, as typed at a prompt."""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tuner import cli


def home_with_token(folder: Path, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to `folder`, which is the user's home too and holds a cluster's token."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    (folder / ".ray").mkdir()
    (folder / ".ray" / "auth_token").write_text(token)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: object
    out: str
    err: str


def run_voxtune(*arguments: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ended:
    """Run a command to its end."""
    monkeypatch.setattr(sys, "argv", ["voxtune", *map(str, arguments)])
    code: object = 0
    try:
        cli.main()
    except SystemExit as ending:
        code = ending.code
    captured = capsys.readouterr()
    return Ended(code=code, out=captured.out, err=captured.err)
