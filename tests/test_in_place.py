"""What lines drawn in place divert, they put back, and nothing else (how they look: test_terminal.py)."""

import sys
from contextlib import redirect_stdout
from io import StringIO

import pytest
from rich.console import Console
from rich.text import Text
from terminal import Screen

from tuner.in_place import InPlace


def test_the_streams_are_put_back_with_what_was_not_yet_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, errors = Screen(), StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", errors)
    with InPlace(Console(width=40, height=10)) as place:
        place.show([Text("a table")])
        assert sys.stdout is not screen
        assert sys.stderr is errors  # no terminal
        print("no newline", end="")
        assert "no newline" not in screen.getvalue()
    assert (sys.stdout, sys.stderr) == (screen, errors)
    assert "no newline" in screen.getvalue()


def test_a_stream_that_others_put_there_is_left_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, theirs = Screen(), StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    place = InPlace(Console(file=screen, width=40, height=10))
    place.__enter__()
    with redirect_stdout(theirs):
        place.__exit__(None, None, None)
        assert sys.stdout is theirs
        print("still open")
    assert theirs.getvalue() == "still open\n"
