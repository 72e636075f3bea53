"""Which cases are scored, and how their scores are summed up."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console
from rich.table import Table

from trainables.errors import DatasetError
from trainables.layouts import read_dataset
from tuner.errors import OutputError
from tuner.evaluate import cases_to_score, dice_table, evaluate_model, summarise, surface_table

SCORES = pd.DataFrame(
    {
        "case": ["b", "b", "a", "a", "c", "c"],
        "class": ["left", "right"] * 3,
        "dice": [0.9, 0.7, 0.5, 0.9, 0.7, 1.0],
    }
)


def test_summary() -> None:
    left, right, mean = summarise(SCORES).to_dict("records")
    assert left == {
        "class": "left",
        "mean": pytest.approx(0.7),
        "sd": pytest.approx(0.2),  # sqrt((0.2^2 + 0.2^2) / 2)
        "median": pytest.approx(0.7),
        "worst": 0.5,
        "worst_case": "a",
        "none": 0,
    }
    assert (right["class"], right["worst"], right["worst_case"]) == ("right", 0.7, "b")
    # Of the cases' means 0.8, 0.7 and 0.85.
    assert (mean["class"], mean["worst"], mean["worst_case"]) == ("mean of the classes", pytest.approx(0.7), "a")
    assert mean["mean"] == pytest.approx(2.35 / 3)


def test_one_class_is_its_own_mean() -> None:
    assert summarise(SCORES[SCORES["class"] == "left"])["class"].tolist() == ["left"]


def shown(table: Table) -> list[str]:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(table)
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_table() -> None:
    assert shown(dice_table(SCORES))[:3] == [
        "Dice of 3 cases",
        "class mean ± sd median worst case",
        "left 0.7000 ± 0.2000 0.7000 0.5000 a",
    ]


def test_one_case_has_no_spread() -> None:
    assert shown(dice_table(SCORES[SCORES["case"] == "a"]))[:3] == [
        "Dice of 1 case",
        "class mean median worst case",
        "left 0.5000 0.5000 0.5000 a",
    ]


def with_surfaces(hd95: list[float]) -> pd.DataFrame:
    return SCORES.assign(nsd=[0.9, 0.7, 0.5, 0.0, 0.7, 1.0], hd95=hd95)


def test_surfaces() -> None:
    lines = shown(surface_table(with_surfaces([1, 2, 3, 9, 2, 4]), tolerance=2))
    assert lines == [
        "Surfaces: NSD at 2 mm, HD95 in mm",
        "class NSD HD95 worst case",
        "left 0.7000 ± 0.2000 2.00 ± 1.00 3.00 a",
        "right 0.5667 ± 0.5132 5.00 ± 3.61 9.00 a",
        "mean of the classes 0.6333 ± 0.3329 3.50 ± 2.29 6.00 a",
    ]


def test_what_has_no_distance_is_told_and_in_no_mean() -> None:
    scores = with_surfaces([1, 2, 3, float("nan"), 2, 4])
    assert summarise(scores, "hd95", worst="max")["none"].tolist() == [0, 1, 0]
    lines = shown(surface_table(scores, tolerance=2))
    assert lines[3] == "right 0.5667 ± 0.5132 3.00 ± 1.41 4.00 c"
    assert " ".join(lines[5:]).startswith("1 of 6 have no HD95 and are not in its mean: the class is in the label or")
    nowhere = shown(surface_table(with_surfaces([float("nan")] * 6), tolerance=2))
    assert nowhere[2] == "left 0.7000 ± 0.2000 none none"


def test_a_table_that_exists_is_kept(tmp_path: Path, small_dataset: Path) -> None:
    (tmp_path / "dice.csv").write_text("mine")
    with pytest.raises(OutputError, match=r"dice\.csv exists already: nothing was written; choose another --output"):
        evaluate_model(tmp_path / "none.pt", small_dataset, output=tmp_path / "dice.csv")
    assert (tmp_path / "dice.csv").read_text() == "mine"


def test_cases_are_scored_once_in_the_order_of_the_file(tmp_path: Path, small_dataset: Path) -> None:
    file = tmp_path / "cases.txt"
    file.write_bytes("\ufeffcase_003\r\n\r\ncase_001\r\ncase_003\r\n".encode())  # as Windows writes it
    assert cases_to_score(read_dataset(small_dataset), file, None) == ["case_003", "case_001"]


@pytest.mark.parametrize(
    ("name", "content", "part", "message"),
    [
        ("none.txt", None, None, "can't be read: No such file or directory"),
        ("cases.txt", "", None, "names no case"),
        ("cases.txt", "case_001\ncase_009\nx\n", None, "names case_009 and 1 more, which {} has not"),
        ("cases.txt", "case_001", "test", "part test: is of a split.json; name one as the file of cases"),
        ("split.json", "[", None, "must hold case names, one a line, or be a sweep's split.json"),
        ("split.json", "[" * 100_000, None, "must hold case names, one a line, or be a sweep's split.json"),
        ("split.json", "{}", None, "must hold case names, one a line, or be a sweep's split.json"),
        ("split.json", json.dumps({"test": []}), "test", "names no test case"),
        ("split.json", json.dumps({"validation": ["case_007"]}), None, "names case_007, which {} has not"),
    ],
)
def test_cases_that_can_not_be_scored(
    tmp_path: Path, small_dataset: Path, name: str, content: str | None, part: Any, message: str
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_text(content)
    with pytest.raises(DatasetError) as error:
        evaluate_model(tmp_path / "none.pt", small_dataset, cases=file, part=part, output=tmp_path / "dice.csv")
    assert str(error.value).removeprefix(f"{file}: ") == message.format(small_dataset)
