"""Runs `voxtune` in the test's own process, as typed at a prompt; or reads a command without running it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

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


@cache
def _commands() -> Any:
    return typer.main.get_command(cli.app)


def find_command(words: Sequence[str]) -> tuple[Any, list[str]]:
    """The command that the first words name, and the rest of them. Raises KeyError."""
    command: Any = _commands()
    rest = list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        command = command.commands[rest.pop(0)]
    return command, rest


def parse_command(words: Sequence[str]) -> None:
    """Read a command's words as the command does. Raises KeyError, or what Typer raises for wrong options."""
    command, rest = find_command(words)
    command.make_context("voxtune", rest)
