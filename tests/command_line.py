"""Runs `voxtune` in the test's own process, as typed at a prompt."""

import sys
from dataclasses import dataclass

import pytest

from tuner import cli


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
