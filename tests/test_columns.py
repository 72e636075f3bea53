"""A table keeps to one line a row in whatever width, and what it shows of a number is the whole number."""

import re

import pytest
from rich.cells import cell_len

from tuner.columns import Column, Rows, flowing

NUMBERS = ("0.00123", "1.5e-05", "0.5")


def table(*, more: str = "", **parameters: tuple[str, ...]) -> Rows:
    columns = [
        Column(heading="trial", cells=("0", "1", "12"), rank=0),
        Column(heading="Dice", cells=("0.8000", "0.7500", ""), rank=1),
        *(Column.of_parameter(name, values, rank=2) for name, values in parameters.items()),
    ]
    return Rows(columns, more=more)


def lines_of(rows: Rows, width: int) -> list[str]:
    return [line.plain for line in rows.lines(width)]


def test_columns_stand_beside_one_another_where_there_is_room() -> None:
    assert lines_of(table(learning_rate=NUMBERS, loss=("dice", "dice_ce", "dice")), 40) == [
        "trial    Dice  learning_rate     loss",
        "    0  0.8000        0.00123     dice",
        "    1  0.7500        1.5e-05  dice_ce",
        "   12                    0.5     dice",
    ]


def test_headings_are_broken_before_a_column_is_left_out() -> None:
    assert lines_of(table(learning_rate=NUMBERS, loss=("dice", "dice_ce", "dice")), 33) == [
        "               learning_",
        "trial    Dice       rate     loss",
        "    0  0.8000    0.00123     dice",
        "    1  0.7500    1.5e-05  dice_ce",
        "   12                0.5     dice",
    ]


def test_what_tells_no_trial_from_another_is_left_out_first() -> None:
    rows = table(constant=("7", "7", "7"), learning_rate=NUMBERS)
    assert lines_of(rows, 29)[0] == "trial    Dice  learning_rate"
    assert lines_of(rows, 80)[0] == "trial    Dice  constant  learning_rate"


@pytest.mark.parametrize(
    ("width", "below"),
    [
        (60, "and 9 more   +3 more parameters: alpha, beta, gamma"),
        (31, "and 9 more   +3 more parameters"),
        (15, "and 9 more   +…"),
    ],
)
def test_what_is_left_out_is_named_as_far_as_there_is_room(width: int, below: str) -> None:
    wide = [Column(heading=name, cells=("y" * 99,)) for name in ("alpha", "beta", "gamma")]
    rows = Rows([Column(heading="trial", cells=("0",)), *wide], more="and 9 more")
    assert lines_of(rows, width)[-1] == below


@pytest.mark.parametrize("width", range(1, 90))
def test_no_line_is_wider_than_there_is_room_and_no_number_is_cut(width: int) -> None:
    rows = table(more="and 3 more", learning_rate=NUMBERS, 重み=("1.25", "2.5", "7"), loss=("a" * 50, "b", "c"))
    lines = lines_of(rows, width)
    assert all(cell_len(line) <= width for line in lines)
    whole = {*NUMBERS, "0", "1", "12", "0.8000", "0.7500", "1.25", "2.5", "7"}
    table_lines = [line for line in lines if not line.startswith("and")]
    assert set(re.findall(r"(?<![\w.-])\d[\d.e-]*", " ".join(table_lines))) <= whole


def test_a_text_is_cut_where_it_is_very_long() -> None:
    assert lines_of(table(loss=("trainables.mine:SomeVeryLongName", "dice", "dice")), 80)[1].split()[-1] == (
        "trainables.mine:SomeVer…"
    )


def test_a_table_without_rows_is_its_headings() -> None:
    assert lines_of(Rows([Column(heading="trial", cells=())]), 80) == ["trial"]
    assert lines_of(Rows([]), 80) == []


def test_parts_flow_into_as_many_lines_as_they_need() -> None:
    parts = ["best Dice 0.8000 (trial 3)", "elapsed 8 s", "about 3 minutes left"]
    assert flowing(parts, 80) == ["best Dice 0.8000 (trial 3)   elapsed 8 s   about 3 minutes left"]
    assert flowing(parts, 45) == ["best Dice 0.8000 (trial 3)   elapsed 8 s", "about 3 minutes left"]
    assert flowing(parts, 20) == ["best Dice 0.8000 (t…", "elapsed 8 s", "about 3 minutes left"]
