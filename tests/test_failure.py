"""What ended a sweep's driver is told to those who watch, until another driver goes on."""

import errno
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command_line import Ended, run_voxtune
from make_sweep import TOY_SWEEP, play

from cluster.errors import ClusterError
from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.drive import Drive
from tuner.errors import StudyError, SweepFailed, SweepInterrupted
from tuner.sweep import resume_sweep, run_sweep

CONFIG = SweepConfig.model_validate(TOY_SWEEP)
FULL = "study journal /runs/toy/study.journal can't be written: the disk is full"

Watch = Callable[..., Ended]


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException | None], None]:
    """From now on a driver begins a trial, and ends by this."""
    connected = SimpleNamespace(dashboard=None)
    monkeypatch.setattr("tuner.session.connect", lambda *arguments, **options: nullcontext(connected))
    monkeypatch.setattr("tuner.session.reaching_driver", lambda *arguments: nullcontext())
    monkeypatch.setattr("tuner.session.check_libraries", lambda *arguments: None)

    def end_by(error: BaseException | None) -> None:
        def work(drive: Drive, *arguments: object) -> SimpleNamespace:
            return SimpleNamespace(study=drive.study(), trials=2)

        def search(work: SimpleNamespace, **options: object) -> None:
            if not work.study.trials():
                work.study.plan(2)
                work.study.ask()
                work.study.release([0])
            if error is not None:
                raise error
            play(work.study, 2)

        monkeypatch.setattr(Drive, "_work", work)
        monkeypatch.setattr("tuner.drive.publishing", lambda *arguments, **options: nullcontext())
        monkeypatch.setattr("tuner.drive.search", search)

    return end_by


@pytest.fixture
def voxtune(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Watch:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    return lambda *arguments: run_voxtune(*arguments, "--runs", tmp_path, monkeypatch=monkeypatch, capsys=capsys)


def test_watch_and_status_say_why_it_could_not_go_on_until_it_does(
    tmp_path: Path, ending: Callable[[BaseException | None], None], voxtune: Watch
) -> None:
    ending(StudyError(FULL))
    with pytest.raises(SweepFailed, match="the disk is full"):
        run_sweep(CONFIG, runs=tmp_path)
    watched = voxtune("watch", "toy")
    assert (watched.code, watched.err) == (1, f"error: {FULL}\n")
    told = voxtune("status", "toy").out.splitlines()
    assert f"No driver works on it: the last one failed: {FULL}" in told
    assert f"Go on by: voxtune resume {tmp_path / 'toy'}" in told

    ending(SweepInterrupted("Stopped."))
    with pytest.raises(SweepInterrupted):
        resume_sweep(SweepDirectory(tmp_path / "toy"))
    assert voxtune("watch", "toy").code == 130
    assert "No driver works on it" in voxtune("status", "toy").out.splitlines()

    ending(None)
    resume_sweep(SweepDirectory(tmp_path / "toy"))
    assert voxtune("watch", "toy").code == 0


def test_a_driver_that_could_not_begin_changes_nothing(
    tmp_path: Path, ending: Callable[[BaseException | None], None], voxtune: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending(SweepInterrupted("Stopped."))
    with pytest.raises(SweepInterrupted):
        run_sweep(CONFIG, runs=tmp_path)

    def refuse(*arguments: object, **options: object) -> None:
        raise ClusterError("no Ray at head:6379")

    monkeypatch.setattr("tuner.session.connect", refuse)
    with pytest.raises(ClusterError):
        resume_sweep(SweepDirectory(tmp_path / "toy"))
    assert voxtune("watch", "toy").code == 130


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_what_could_not_be_set_up_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("tuner.sweep._write_sweep_file", fail)
    with pytest.raises(type(error)):
        run_sweep(CONFIG, runs=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_has_room_for_a_file_without_content(
    tmp_path: Path,
    ending: Callable[[BaseException | None], None],
    voxtune: Watch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = Path.write_text

    def written(path: Path, *arguments: Any, **options: Any) -> int:
        if path.name == "failed.txt":
            path.touch()
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, *arguments, **options)

    ending(OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr(Path, "write_text", written)
    with pytest.raises(OSError, match="No space left"):
        run_sweep(CONFIG, runs=tmp_path)
    assert (tmp_path / "toy" / "failed.txt").read_bytes() == b""
    watched = voxtune("watch", "toy")
    assert (watched.code, watched.err) == (1, f"error: it could not go on; see {tmp_path}/toy/sweep.log\n")
