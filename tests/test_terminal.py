"""The live table as it is seen in a real terminal, tmux: whole at any moment, never wrapped, nothing left behind."""

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest
import yaml
from terminal import Terminal, terminal

pytestmark = [pytest.mark.service, pytest.mark.slow]

TESTS = Path(__file__).parent
HEADINGS = ["trial", "state", "budget", "Dice"]
STATES = "full budget|stopped at rung|running"
NUMBER = r"(0|[1-9]\d*)(\.\d+)?(e-\d\d)?"
ROW = re.compile(rf" *\d+  ({STATES}) *( +\d+%  0\.\d{{4}})?  +{NUMBER}  +[24]( .*)?")
CLEARS = (b"\x1b[2J", b"\x1b[3J", b"\x1b[H", b"\x1b[2K", b"\x1b[1K", b"\x1b[?1049h", b"\x1bc")
"""What empties the screen or a line before it is drawn again, or takes another screen."""


@contextmanager
def advancing(
    trials: int, *, columns: int, rows: int, seconds: float = 3.0, until: Path | None = None
) -> Iterator[Terminal]:
    """A terminal in which a table shows a study that runs so many trials in so many seconds; it shows a table.

    Args:
        until: the table stays until this file is there.
    """
    command = [sys.executable, TESTS / "advancing.py", trials, seconds, *([until] if until else [])]
    with terminal(command, columns=columns, rows=rows, folder=TESTS) as window:
        window.until(lambda: any("elapsed" in line for line in window.lines()), 30)
        yield window


def check_whole(lines: list[str], *, trials: int, width: int, in_the_making: int = 0) -> int:
    """Check that `lines` are one whole table and what stands around it. Returns how many trials it shows.

    Args:
        in_the_making: how many rows may be half written, since a terminal reads what is written to it piece by piece.
    """
    assert all(len(line) <= width for line in lines)
    begin = next(place for place, line in enumerate(lines) if line.startswith("heart: "))
    assert lines[:begin] in (["before"], [])  # it may have left the window at its top
    counts = re.fullmatch(r"heart: (\d) running, (\d+) ended, (\d+) to go", lines[begin])
    assert counts, lines[begin]
    assert sum(map(int, counts.groups())) == trials
    assert re.fullmatch(r"(no Dice yet|best Dice 0\.\d{4}.*)   elapsed \d s(   about .* left)?", lines[begin + 1])
    headings = next(place for place, line in enumerate(lines) if line.split()[:4] == HEADINGS)
    assert headings - begin in (2, 3, 4)
    table = [line for line in lines[headings + 1 :] if line != "after"]
    if table and re.match(r"and \d+ more |\+\d more parameters?", table[-1]):
        table.pop()
    assert len([line for line in table if not ROW.fullmatch(line)]) <= in_the_making, "\n".join(lines)
    return len(table)


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 50)])
@pytest.mark.parametrize("trials", [6, 300])
def test_a_table_is_whole_at_any_moment_and_nothing_of_it_stays_behind(
    tmp_path: Path, columns: int, rows: int, trials: int
) -> None:
    seen = tmp_path / "seen"
    with advancing(trials, columns=columns, rows=rows, until=seen) as window:
        captures = 0
        most = 0
        while window.code is None:
            lines = window.lines(joined=captures % 2 == 1)  # a line that the terminal wrapped would be too long
            if "after" not in lines:
                shown = check_whole(lines, trials=trials, width=columns, in_the_making=1)
                assert shown >= most
                most = shown
                captures += 1
            if captures > 30:
                seen.touch()
        assert captures > 30
        assert window.code == 0
        everything = window.lines(history=True)
        assert everything == window.lines(history=True, joined=True)
        assert everything[-1] == "after"
        shown = check_whole(everything, trials=trials, width=columns)
        assert shown == min(trials, {24: 18, 50: 32}[rows])
        assert everything[1] == f"heart: 0 running, {trials} ended, 0 to go"
        assert not [code for code in CLEARS if code in window.written()]


DRAWING = """
import sys
from rich.console import Console
from rich.text import Text
from tuner.in_place import InPlace

print("before")
with InPlace(Console()) as place:
    for number, order in enumerate(open(sys.argv[1])):
        if order.startswith("say "):
            print(order[4:], end="")
        else:
            place.show([Text(f"{row} {number} ".ljust(place.width, "=")) for row in range(int(order))])
print("after")
"""


@contextmanager
def drawing(folder: Path, *, columns: int, rows: int) -> Iterator[tuple[Terminal, TextIO]]:
    """A terminal in which lines as wide as it are shown, so many as are asked for, or said above them."""
    orders = folder / "orders"
    os.mkfifo(orders)
    with terminal([sys.executable, "-c", DRAWING, orders], columns=columns, rows=rows, folder=folder) as window:
        file = orders.open("w", buffering=1)
        with file:
            yield window, file


def test_lines_are_drawn_anew_for_another_width_and_height(tmp_path: Path) -> None:
    """What the terminal itself moves out of its window at its top stays there."""
    with drawing(tmp_path, columns=80, rows=40) as (window, orders):
        orders.write("5\n")
        window.until(lambda: len(window.lines()) == 1 + 5, 30)
        for number, (columns, rows) in enumerate([(60, 40), (31, 40), (80, 40), (79, 40), (80, 4), (80, 40)], 1):
            window.resize(columns, rows)
            time.sleep(0.6)  # tmux tells the program within a quarter of a second
            orders.write("5\n")
            wide, shown = columns - 1, min(5, rows - 1)
            expected = [f"{row} {number} ".ljust(wide, "=") for row in range(shown)]
            window.until(lambda expected=expected: window.lines()[-len(expected) :] == expected, 5)


def test_what_is_said_stands_above_whole_and_pushes_nothing_away(tmp_path: Path) -> None:
    with drawing(tmp_path, columns=40, rows=10) as (window, orders):
        said = [
            "news",
            "a long line that the terminal has to break in three " + "x" * 40,
            "y" * 40,
            "",
            "z" * 80,
            "end",
        ]
        for number, line in enumerate(said):
            orders.write(f"{3 + number % 2}\nsay {line}\n")
        orders.write("1\n")
        orders.close()
        assert window.wait(30) == 0
        last = f"0 {2 * len(said)} ".ljust(39, "=")
        assert window.lines(history=True, joined=True) == ["before", *said, last, "after"]


def test_a_table_survives_other_sizes_of_the_terminal(tmp_path: Path) -> None:
    """What was drawn while the terminal had not yet told its new width may be left above the table."""

    def table() -> list[str]:
        lines = window.lines()
        return lines[max((place for place, line in enumerate(lines) if line.startswith("heart: ")), default=0) :]

    def whole() -> bool:
        try:
            return check_whole(table(), trials=40, width=columns) > 0
        except (AssertionError, StopIteration):
            return False  # it is drawn again every half second

    with advancing(40, columns=120, rows=40, seconds=6.0, until=tmp_path / "seen") as window:
        for columns, rows in ((120, 12), (90, 30), (60, 30), (130, 40)):
            window.resize(columns, rows)
            time.sleep(0.6)  # tmux tells the program within a quarter of a second
            window.until(whole, 20)
        (tmp_path / "seen").touch()
        assert window.wait(30) == 0
        check_whole(table(), trials=40, width=columns)


def test_in_a_terminal_of_few_lines_the_best_and_the_running_are_shown() -> None:
    with advancing(60, columns=80, rows=12) as window:
        assert window.wait(30) == 0
        everything = window.lines(history=True)
        assert check_whole(everything, trials=60, width=80) == 6
        assert everything[-2].startswith("and 54 more ended")


@pytest.mark.ray
def test_a_sweep_of_toys_is_watched_while_it_runs(tmp_path: Path, running_ray: str) -> None:
    """`voxtune run` in one terminal of 80 columns, `voxtune watch` in another of 200: both end with the same table."""
    sweep = {
        "name": "toy",
        "trainable": "trainables.toy:ToyRun",
        "training": {"seconds_per_rung": 0.3},
        "space": {"learning_rate": {"float": [1e-5, 1e-1], "log": True}, "batch_size": {"choice": [1, 2, 4, 8]}},
        "budget": {"unit": "steps", "maximum": 900},
        "search": {"trials": 6},
        "confirm": {"top": 1, "seeds": 1},
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    voxtune = [sys.executable, "-m", "tuner.cli"]
    run = [*voxtune, "run", "sweep.yaml", "--address", running_ray]
    with terminal(run, columns=80, rows=40, folder=tmp_path) as running:
        running.until(lambda: (tmp_path / "runs" / "toy" / "study.journal").is_file(), 90)
        with terminal([*voxtune, "watch", "toy"], columns=200, rows=50, folder=tmp_path) as watching:
            both = running, watching
            for window in both:
                assert window.wait(120) == 0
            shown = [window.lines(history=True, joined=True) for window in both]
            assert not [code for window in both for code in CLEARS if code in window.written()]
    tables, news = [], "Confirming the best by training with other seeds, numbered from 0 again: trial "
    assert [sum(line.startswith(news) for line in lines) for lines in shown] == [1, 0]
    for lines in ([line for line in lines if not line.startswith(news)] for lines in shown):
        begin = lines.index("toy: 0 running, 6 ended, 0 to go")
        assert lines[begin + 2].split() == [*HEADINGS, "batch_size", "learning_rate"]
        tables.append(lines[begin + 3 : begin + 9])
        assert lines[begin + 9] == "confirm: 0 running, 1 ended, 0 to go"
        assert len([line for line in lines if "elapsed" in line]) == 2
        assert "Leaderboard" in lines
    assert tables[0] == tables[1]
    assert all(len(line) < 80 and re.match(rf" *\d  ({STATES}) ", line) for line in tables[0])
