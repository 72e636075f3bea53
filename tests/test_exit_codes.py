"""The exit codes of `voxtune run` and `resume`, which scripts go by; docs/watching.md lists them."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Ended, run_voxtune
from make_sweep import sweep_directory

from cluster.errors import ClusterError
from search_spaces.errors import SpaceError
from tuner.errors import SweepFailed, SweepInterrupted

ENDINGS = [
    (SweepFailed("no trial gave a result"), 1, "error: no trial gave a result\n"),
    (OSError(28, "No space left on device", "/data"), 1, "error: /data: No space left on device\n"),
    (ClusterError("asks for 999 CPUs"), 2, "error: asks for 999 CPUs\n"),
    (SpaceError("learning_rate: ..."), 2, "error: learning_rate: ...\n"),
    (SweepInterrupted("Stopped."), 130, ""),
    (KeyboardInterrupt(), 130, "error: interrupted\n"),
]

Voxtune = Callable[..., Ended]


@pytest.fixture
def voxtune(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Voxtune:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run_voxtune(*arguments, monkeypatch=monkeypatch, capsys=capsys)


@pytest.mark.parametrize(("error", "code", "told"), ENDINGS)
def test_run_and_resume_end_by_what_became_of_the_sweep(
    voxtune: Voxtune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, told: str
) -> None:
    def end(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("tuner.sweep.run_sweep", end)
    monkeypatch.setattr("tuner.sweep.resume_sweep", end)
    directory = sweep_directory(tmp_path / "heart")
    directory.environment_file.write_text("{}")  # a run was begun here
    for command in (("run", directory.sweep_file), ("resume", directory.root)):
        ended = voxtune(*command)
        assert (ended.code, ended.err.lstrip("\n")) == (code, told)


@pytest.mark.parametrize(
    "command",
    [("run",), ("run", "sweep.yaml", "--trials", "0"), ("run", "sweep.yaml", "--tirals", "3"), ("resume", "heart")],
)
def test_what_was_typed_wrong_is_2(voxtune: Voxtune, command: tuple[str, ...]) -> None:
    assert voxtune(*command).code == 2


def test_help_and_documentation_list_the_same_codes(voxtune: Voxtune, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    told = voxtune("run", "--help").out
    listed = re.findall(r"\b(\d+) (?:it|no|something)\b", told[told.index("Exit codes:") :])
    page = (Path(__file__).parents[1] / "docs" / "watching.md").read_text()
    assert listed == ["0", "1", "2", "130"]
    assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE)[:4] == listed
