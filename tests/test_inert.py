"""What names from outside do in a terminal: nothing. They are shown."""

import io

import pytest
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from terminal import Screen

from tuner.inert import InertConsole, inert, inert_but_coloured
from tuner.markdown import escape
from tuner.terminal import complain

HOSTILE = "heart\x1b]0;owned\x1b\\\x1b[2J\x9b2J\u202egpj"
SHOWN = "heart␛]0;owned␛\\␛[2J�2J�gpj"


def test_names_are_shown_and_obeyed_by_no_terminal() -> None:
    console = InertConsole(file=Screen(), force_terminal=True, width=200, color_system="standard")
    table = Table(HOSTILE, title=HOSTILE)
    table.add_row(Text(HOSTILE, style="red"))
    console.print(Group(HOSTILE, Panel(HOSTILE), table), Text(HOSTILE), markup=False, highlight=False)
    console.print(HOSTILE, end="", soft_wrap=True)
    assert isinstance(console.file, io.StringIO)
    written = console.file.getvalue()
    assert written.count("�2J�gpj") >= 5
    for obeyed in ("\x1b]", "\x1b\\", "\x1b[2J", "\x9b", "\u202e"):
        assert obeyed not in written
    assert "\x1b[31m" in written  # our own colour
    assert written.count("\n") > 6


def test_what_rich_has_the_terminal_do_is_done() -> None:
    console = InertConsole(file=Screen(), force_terminal=True)
    console.show_cursor(False)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "\x1b[?25l"


def test_complaints_are_inert_too(capsys: pytest.CaptureFixture[str]) -> None:
    complain(f"no case {HOSTILE}")
    assert capsys.readouterr().err == f"error: no case {SHOWN}\n"


def test_logs_keep_their_lines_and_colours() -> None:
    assert inert("a\tb\r\nc") == "a\tb\r\nc"
    assert inert_but_coloured(f"\x1b[1;31mred\x1b[0m {HOSTILE}\n") == f"\x1b[1;31mred\x1b[0m {SHOWN}\n"


def test_a_report_in_markdown_is_inert_in_a_terminal() -> None:
    assert "\x1b" not in escape(HOSTILE)
