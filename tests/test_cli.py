"""The command line as a user meets it: help, messages and exit codes."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
from make_sweep import open_study, sweep_directory

from tuner import cli
from tuner.storage import open_storage


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Voxtune = Callable[..., Ended]


@pytest.fixture
def voxtune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Voxtune:
    """Runs a command in the folder `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["voxtune", *map(str, arguments)])
        code: object = 0
        try:
            cli.main()
        except SystemExit as ending:
            code = ending.code
        captured = capsys.readouterr()
        assert isinstance(code, int), code
        return Ended(code=code, out=captured.out, err=captured.err)

    return run


def test_version(voxtune: Voxtune) -> None:
    assert voxtune("--version") == Ended(code=0, out=f"voxtune {version('voxtune')}\n", err="")


def test_report_finds_a_sweep_in_another_folder(voxtune: Voxtune, tmp_path: Path) -> None:
    directory = sweep_directory(tmp_path / "elsewhere" / "heart")
    open_study(open_storage(None, directory.journal))
    ended = voxtune("report", "heart", "--runs", "elsewhere")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"Report: {directory.report / 'report.md'}\n"
    assert (directory.report / "report.md").read_text().startswith("# ")


def test_no_sweep_of_that_name(voxtune: Voxtune) -> None:
    ended = voxtune("report", "heart", "--runs", "elsewhere")
    assert ended.code == 2
    assert ended.err == "error: no sweep at heart or elsewhere/heart: a sweep's directory holds a sweep.yaml\n"
