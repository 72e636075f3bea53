"""`voxtune logs -f`: all that is written until the trial, or the driver, has ended, at little cost."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from command_line import Ended, run_voxtune
from make_sweep import evaluation, open_study, sweep_directory

from tuner import commands_logs
from tuner.directory import SweepDirectory
from tuner.owner import own
from tuner.reading import StudyReader
from tuner.storage import open_storage
from tuner.study import SweepStudy
from tuner.trial_record import TrialRecord


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SweepDirectory:
    monkeypatch.setattr(commands_logs, "POLL_SECONDS", 0.02)
    return sweep_directory(tmp_path / "runs" / "heart", trials=2)


@pytest.fixture
def study(directory: SweepDirectory) -> SweepStudy:
    return open_study(open_storage(None, directory.journal, owner=True))


@pytest.fixture
def follow(
    directory: SweepDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """Follows a log while `work` is done beside it by a driver."""
    monkeypatch.chdir(tmp_path)

    def follow(*arguments: object, work: Callable[[], None]) -> Ended:
        def drive() -> None:
            time.sleep(0.2)
            work()

        driver = Thread(target=drive)
        with own(directory.root):  # whose driver goes on: it is not waited for
            driver.start()
            ended = run_voxtune("logs", "heart", "-f", *arguments, monkeypatch=monkeypatch, capsys=capsys)
            driver.join()
        return ended

    return follow


def test_a_trial_is_followed_to_the_line_that_says_how_it_ended(
    directory: SweepDirectory, study: SweepStudy, follow: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    read = StudyReader.study

    def counted(reader: StudyReader, name: str) -> SweepStudy | None:
        asked.append(name)
        return read(reader, name)

    monkeypatch.setattr(StudyReader, "study", counted)
    record = TrialRecord(directory, "sweep")
    number = study.ask().number
    record.begun(number, {})

    def work() -> None:
        time.sleep(0.5)  # twenty polls
        study.report(number, 111, evaluation(0.5, 111))
        record.reported(number, 111, evaluation(0.5, 111), "one\n")
        time.sleep(0.2)
        study.finish(number, "stopped at rung")
        record.ended(number, "stopped at rung")

    ended = follow("--trial", number, work=work)
    assert (ended.code, ended.err) == (0, "")
    assert [line.partition(" trial ")[2] for line in ended.out.splitlines()] == [
        "0: handed to a slot; its lines come with its evaluations",
        "",
        "0: stopped at rung",
    ]
    assert set(asked) == {"sweep"}
    assert len(asked) <= 4  # at first, and when the log has grown


def test_one_whose_log_can_not_be_written_is_seen_to_end_all_the_same(
    directory: SweepDirectory, study: SweepStudy, follow: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands_logs, "LOOK_SECONDS", 0.1)
    number = study.ask().number
    TrialRecord(directory, "sweep").begun(number, {})

    def work() -> None:
        study.finish(number, "error", error="a bug")

    assert follow("--trial", number, work=work).code == 0


def test_a_trial_that_the_study_lacks_has_not_ended(directory: SweepDirectory, study: SweepStudy) -> None:
    study.finish(study.ask().number, "error", error="a bug")
    assert commands_logs._end_of(directory, 0, confirm=False)()
    assert not commands_logs._end_of(directory, 7, confirm=False)()  # a log alone may have been copied here


def test_one_of_the_confirm_stage_is_looked_for_there(
    directory: SweepDirectory, study: SweepStudy, follow: Callable[..., Ended]
) -> None:
    study.finish(study.ask().number, "error", error="a bug")  # trial 0 too
    confirm = open_study(open_storage(None, directory.journal, owner=True), name="confirm")
    record = TrialRecord(directory, "confirm")
    number = confirm.ask().number
    record.begun(number, {})

    def work() -> None:
        confirm.finish(number, "error", error="a bug")
        record.ended(number, "error", error="a bug")

    ended = follow("--trial", number, "--confirm", work=work)
    assert ended.out.endswith(" trial 0: error: a bug\n")


def test_a_log_that_is_not_there_is_named(
    directory: SweepDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def refused(*arguments: object) -> str:
        ended = run_voxtune("logs", "heart", *arguments, monkeypatch=monkeypatch, capsys=capsys)
        assert (ended.code, ended.out) == (2, "")
        return " ".join(ended.err.split())

    assert refused() == f"error: sweep heart has no log (yet): {directory.log_file} is not there"
    assert refused("--trial", 3).endswith("trial 3 of heart has no log (yet); nor has any other")
    logs = directory.trial_log("sweep", 2).parent
    logs.mkdir()
    for name in ("sweep_0002.txt", "sweep_0012.txt", "sweep_notes.txt"):
        (logs / name).touch()
    assert refused("--trial", 3).endswith("trial 3 of heart has no log (yet); 2 have one, 2 to 12")


def test_a_log_without_a_driver_is_shown_once(
    directory: SweepDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    directory.log_file.write_text("one\ntwo\n")
    ended = run_voxtune("logs", "heart", "-f", monkeypatch=monkeypatch, capsys=capsys)
    assert ended == Ended(code=0, out="one\ntwo\n", err="")


@pytest.mark.parametrize("options", [[], ["-f"]])
def test_what_stands_in_a_log_is_obeyed_by_no_terminal(
    directory: SweepDirectory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    directory.log_file.write_text("a \x1b]0;owned\x07\n")
    ended = run_voxtune("logs", "heart", *options, monkeypatch=monkeypatch, capsys=capsys)
    assert ended == Ended(code=0, out="a ␛]0;owned␇\n", err="")
