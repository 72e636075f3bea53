"""Where the libraries' messages go while a sweep runs."""

import logging
import sys
import warnings
from pathlib import Path

import pytest

from tuner.quiet import library_messages


def say_all() -> None:
    for name in ("ray.tune", "optuna", "voxtune", "another.library"):
        logging.getLogger(name).info("%s news", name)
        logging.getLogger(name).warning("%s warning", name)
    warnings.warn("python warning", stacklevel=1)


def test_warnings_and_our_news_go_to_the_log_and_nowhere_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "new" / "sweep.log"
    with library_messages(log, verbose=False):
        say_all()
    text = log.read_text()
    for expected in ("ray.tune warning", "optuna warning", "voxtune news", "voxtune warning", "UserWarning: python"):
        assert text.count(expected) == 1, expected
    assert "WARNING another.library: another.library warning" in text
    assert "ray.tune news" not in text
    assert "optuna news" not in text
    assert capsys.readouterr() == ("", "")


def test_verbose_shows_all_of_it_on_the_terminal_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "sweep.log"
    with library_messages(log, verbose=True):
        say_all()
    shown = capsys.readouterr().err
    for expected in ("ray.tune news", "optuna news", "voxtune news", "UserWarning: python"):
        assert shown.count(expected) == 1, expected
        assert log.read_text().count(expected) == 1, expected


def test_ray_taking_the_handlers_off_its_logger_loses_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with library_messages(tmp_path / "sweep.log", verbose=False):
        logging.getLogger("ray").handlers.clear()  # as ray.init does
        logging.getLogger("ray.worker").warning("a node died")
    assert "WARNING ray.worker: a node died" in (tmp_path / "sweep.log").read_text()
    assert capsys.readouterr() == ("", "")


def test_no_message_is_obeyed_by_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with library_messages(None, verbose=True):
        logging.getLogger("voxtune").warning("no case %s", "\x1b]0;owned\x07")
    assert "no case ␛]0;owned␇\n" in capsys.readouterr().err


def test_without_a_log_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with library_messages(None, verbose=False):
        say_all()
    assert capsys.readouterr() == ("", "")


def test_loggers_are_left_as_they_were(tmp_path: Path) -> None:
    def state() -> list[object]:
        loggers = [logging.getLogger(name) for name in ("", "ray", "optuna", "voxtune", "py.warnings")]
        return [(logger.level, logger.propagate, logger.handlers[:]) for logger in loggers]

    import optuna  # noqa: F401 (each gives its logger a handler once)
    import ray  # noqa: F401

    before = state()
    with library_messages(tmp_path / "sweep.log", verbose=True):
        assert state() != before
    assert state() == before


def test_a_table_that_diverts_standard_error_gets_the_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with library_messages(tmp_path / "sweep.log", verbose=True), (tmp_path / "diverted").open("w") as diverted:
        monkeypatch.setattr(sys, "stderr", diverted)
        logging.getLogger("ray").warning("a node died")
    assert (tmp_path / "diverted").read_text() == "a node died\n"


def test_a_log_that_cannot_be_written_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "sweep.log"
    log.symlink_to("/dev/full")
    with library_messages(log, verbose=False):
        logging.getLogger("voxtune").warning("a message for a full disk")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
