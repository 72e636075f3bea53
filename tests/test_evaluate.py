"""Which cases are scored, and how their scores are summed up."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from trainables.errors import DatasetError
from tuner.errors import OutputError
from tuner.evaluate import evaluate_model, score_table, summarise

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
    }
    assert (right["class"], right["worst"], right["worst_case"]) == ("right", 0.7, "b")
    # Of the cases' means 0.8, 0.7 and 0.85.
    assert (mean["class"], mean["worst"], mean["worst_case"]) == ("mean of the classes", pytest.approx(0.7), "a")
    assert mean["mean"] == pytest.approx(2.35 / 3)


def test_one_class_is_its_own_mean() -> None:
    assert summarise(SCORES[SCORES["class"] == "left"])["class"].tolist() == ["left"]


def shown(scores: pd.DataFrame, **options: float) -> list[str]:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(score_table(scores, **options))
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_table() -> None:
    assert shown(SCORES)[:3] == [
        "Dice of 3 cases",
        "class mean ± sd median worst case",
        "left 0.7000 ± 0.2000 0.7000 0.5000 a",
    ]


def test_one_case_has_no_spread() -> None:
    assert shown(SCORES[SCORES["case"] == "a"])[:3] == [
        "Dice of 1 case",
        "class mean median worst case",
        "left 0.5000 0.5000 0.5000 a",
    ]


def with_surfaces(hd95: list[float]) -> pd.DataFrame:
    return SCORES.assign(nsd=[0.9, 0.7, 0.5, 0.0, 0.7, 1.0], hd95=hd95)


def test_surfaces_are_summed_up_where_there_are_any() -> None:
    scores = with_surfaces([1, 2, 3, float("nan"), 2, 4])
    left, right, mean = summarise(scores).to_dict("records")
    assert (left["nsd"], left["hd95"], left["no_hd95"]) == (pytest.approx(0.7), 2, 0)
    assert (right["nsd"], right["hd95"], right["no_hd95"]) == (pytest.approx(1.7 / 3), 3, 1)
    assert (mean["nsd"], mean["hd95"]) == (pytest.approx(1.9 / 3), pytest.approx((1.5 + 3 + 3) / 3))


def test_what_has_no_distance_is_told() -> None:
    lines = shown(with_surfaces([1, 2, 3, float("nan"), 2, 4]), tolerance=2)
    assert lines[1] == "class mean ± sd median worst case NSD 2 mm HD95 mm"
    assert lines[3] == "right 0.8667 ± 0.1528 0.9000 0.7000 b 0.5667 3.00"
    assert " ".join(lines[5:]).startswith("1 of 6 have no HD95 and are not in its mean: the class is in the label or")
    none = shown(with_surfaces([float("nan")] * 6), tolerance=2)
    assert none[2].endswith(" none")
    assert len(shown(with_surfaces([0] * 6), tolerance=2)) == 5  # no note


def test_a_table_that_exists_is_kept(tmp_path: Path, small_dataset: Path) -> None:
    (tmp_path / "dice.csv").write_text("mine")
    with pytest.raises(OutputError, match=r"dice\.csv exists already: nothing was written; choose another --output"):
        evaluate_model(tmp_path / "none.pt", small_dataset, output=tmp_path / "dice.csv")
    assert (tmp_path / "dice.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "content", "part", "message"),
    [
        ("none.txt", None, None, "can't be read: No such file or directory"),
        ("cases.txt", "", None, "names no case"),
        ("cases.txt", "case_001\ncase_009\nx\n", None, "names case_009 and 1 more, which {} has not"),
        ("cases.txt", "case_001", "test", "part test: is of a split.json; name one as the file of cases"),
        ("split.json", "[", None, "must hold case names, one a line, or be a sweep's split.json"),
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
