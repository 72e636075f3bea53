import errno
import io
import logging
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tuner import trial_log
from tuner.trial_log import SlotLog


@contextmanager
def writing() -> Iterator[SlotLog]:
    """A log of trial 3. No fixture: pytest puts its own streams in place after those."""
    log = SlotLog()
    try:
        log.begin("trial 3")
        yield log
    finally:
        log.close()


def test_what_is_written_is_kept_and_still_written(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    log = SlotLog()
    print("of nobody yet")
    handler = logging.StreamHandler()  # keeps the stream that stands for standard error now
    log.begin("trial 1")
    print("to output")
    print("to error", file=sys.stderr)
    assert log.take() == "to output\nto error\n"
    log.begin("trial 2")
    handler.emit(logging.makeLogRecord({"msg": "logged"}))
    assert log.take() == "logged\n"
    log.close()
    print("after")
    assert log.take() == ""
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr() == ("of nobody yet\nto output\nafter\n", "to error\nlogged\n")


def test_a_line_of_ours_says_when_and_of_which_trial(capsys: pytest.CaptureFixture[str]) -> None:
    with writing() as log:
        log.say("failed: ValueError: no")
    (line,) = log.take().splitlines()
    day, _, rest = line.partition(" ")
    assert len(day) == 10
    assert re.fullmatch(r"\d\d:\d\d:\d\d[+-]\d{4} trial 3: failed: ValueError: no", rest)
    assert capsys.readouterr().out == line + "\n"


def test_a_full_disk_under_ray_s_log_fails_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(sys, "stdout", Full())
    with writing() as log:
        log.say("reached")
    assert log.take().endswith(" trial 3: reached\n")


def test_a_stream_is_itself_in_all_other_respects() -> None:
    with writing() as log:
        sys.stdout.writelines(["one\n", "two\n"])
        assert sys.stdout.encoding
        assert sys.stdout.writable()
        assert sys.stderr.buffer.write(b"") == 0
    assert log.take() == "one\ntwo\n"


def test_of_a_flood_the_end_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_log, "MOST", 10)
    with writing() as log:
        for number in range(3):
            print(str(number) * 10)
    assert log.take() == "[23 characters left out here: they are in Ray's log of this slot]\n222222222\n"


def test_threads_that_write_at_once_lose_nothing() -> None:
    taken = 0
    with writing() as log:
        threads = [threading.Thread(target=lambda: [log.keep("x") for _ in range(5000)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            taken += len(log.take())
    assert taken + len(log.take()) == 20_000
