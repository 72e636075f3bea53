"""Sweeps side by side: what may be claimed of them, and what may not."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from command_line import Ended, run_voxtune
from make_sweep import CASES, DEFAULT, RUNGS, evaluation, open_study, play, stint_on, sweep_directory

from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.errors import OutputError, StudyError, UserError
from tuner.report_comparison import write_comparison
from tuner.storage import open_storage
from tuner.study import SweepStudy

NAMES = [*CASES, *(f"case_{number:03d}" for number in range(5, 11))]
ENVIRONMENT = {"dataset": {"name": "Heart", "content_hash": "ab" * 32}}
SPLIT = {"train": ["x"], "validation": NAMES, "test": []}


def finish(study: SweepStudy, score: float, *, shift: float = 0.0) -> int:
    """A trial whose cases differ in how hard they are, and a little in what `shift` does to them."""
    number = study.ask().number
    cases = {name: {"organ": score + 0.02 * (place - 4.5) + shift * (place % 3)} for place, name in enumerate(NAMES)}
    for step in RUNGS:
        study.report(number, step, evaluation(score, step, cases=cases), {}, stint=stint_on(began=1000.0 * number))
    study.finish(number, "full budget")
    return number


def sweep(
    root: Path,
    score: float,
    *,
    repeats: Sequence[float] = (),
    shift: float = 0.0,
    environment: Any = ENVIRONMENT,
    split: Any = SPLIT,
    changes: Any = None,
) -> SweepDirectory:
    directory = sweep_directory(root, trials=2, changes=changes, environment=environment, split=split)
    storage = open_storage(None, directory.journal, owner=True)
    study = open_study(storage)
    study.plan(2)
    finish(study, score - 0.1)
    best = finish(study, score, shift=shift)
    if repeats:
        confirm = open_study(storage, name="confirm")
        for seed, repeat in enumerate(repeats, start=1):
            confirm.enqueue(study.trials()[best].params, seed=seed, of=best)
            finish(confirm, repeat, shift=shift)
    return directory


def told(tmp_path: Path, *directories: SweepDirectory, **options: Any) -> str:
    """The answer, and then all of the Markdown."""
    return write_comparison(directories, output=tmp_path / "out" / "compare.html", **options).markdown.read_text()


def answer(page: str) -> str:
    return page.split("\n\n")[1]


def row(page: str, name: str) -> list[str]:
    line = next(line for line in page.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line[1:-1].split("|")]


def test_a_clear_difference_is_called_one(tmp_path: Path) -> None:
    a = sweep(tmp_path / "a", 0.85, repeats=(0.842, 0.844))
    b = sweep(tmp_path / "b", 0.80, repeats=(0.801, 0.799), shift=0.001)
    page = told(tmp_path, b, a, price=2)
    first = "**a found the better configuration: mean validation Dice 0.8430 against 0.8000 of b**, 0.0430 more. "
    assert answer(page).startswith(first)
    assert "Over the same 10 cases the difference is +0.0421 ± 0.0009 (Wilcoxon p = 0.002)" in answer(page)
    assert "seeds alone move it by ± 0.0014" in answer(page)
    means = row(page, "**mean validation Dice**")[1:]
    assert means == ["**0.8000 ± 0.0014 (2 seeds)**", "**0.8430 ± 0.0014 (2 seeds)**"]
    assert row(page, "a less b")[1:] == ["10", "+0.0421 ± 0.0009", "10 of 10", "0.002"]
    assert row(page, "trials")[1:] == ["2", "2"]
    assert row(page, "held")[1] == "0.583 core-hours"  # search and confirm stage
    assert row(page, "cost at 2 an hour")[1] == "1.17"
    assert "All searched the same space." in page


def test_a_difference_that_seeds_explain_is_no_claim(tmp_path: Path) -> None:
    a = sweep(tmp_path / "a", 0.85, repeats=(0.82, 0.86))
    b = sweep(tmp_path / "b", 0.84, repeats=(0.81, 0.85))
    assert answer(told(tmp_path, a, b)).startswith("**a's best is 0.0100 higher, which may be luck:**")


def test_one_seed_each_is_said(tmp_path: Path) -> None:
    page = told(tmp_path, sweep(tmp_path / "a", 0.85, shift=0.001), sweep(tmp_path / "b", 0.80))
    assert answer(page).startswith("**a's best is better on these cases: mean validation Dice 0.8500 against 0.8000")
    assert "Whether it would be with other seeds is not known." in answer(page)
    assert "is biased upwards" in page


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        ({"changes": {"budget": {"maximum": 5e8}}}, "a trial's full budget differs: 1 G voxels, 500 M voxels"),
        ({"environment": {"dataset": {"content_hash": "cd" * 32}}}, "the data sets differ"),
        ({"split": {**SPLIT, "validation": NAMES[1:]}}, "the split differs, so that other cases validate"),
        ({"changes": {"preprocessing": {"spacing": [1, 1, 1]}}}, "the data were prepared differently"),
        ({"changes": {"dataset": {"path": "/data/Heart scans", "labels": {"organ": 1}}}}, "other classes are learned"),
    ],
)
def test_what_can_not_be_compared_is_not_ranked(tmp_path: Path, difference: dict[str, Any], said: str) -> None:
    page = told(tmp_path, sweep(tmp_path / "a", 0.85), sweep(tmp_path / "b", 0.80, **difference))
    assert answer(page).startswith("**Which is better can't be said:**")
    assert said in answer(page)
    assert "better configuration" not in page
    assert row(page, "**mean validation Dice**")[1:] == ["**0.8500**", "**0.8000**"]
    assert ("## Case by case" in page) == ("environment" not in difference)


def test_test_cases_are_compared_where_all_were_tested_on_the_same(tmp_path: Path) -> None:
    directories = []
    for name, score, spacing in (("a", 0.85, "median"), ("b", 0.84, [1, 1, 1])):
        directory = sweep(tmp_path / name, score, changes={"preprocessing": {"spacing": spacing}})
        study = open_study(open_storage(None, directory.journal, owner=True))
        cases = {f"t{place}": {"organ": 1.4 - score + 0.01 * place} for place in range(8)}
        study.optuna.set_user_attr("test", {"sweep:1": cases})
        directories.append(directory)
    page = told(tmp_path, *directories)
    assert answer(page).startswith("**b's best is better on these cases: mean test Dice 0.5950 against 0.5850 of a**")
    assert "no search saw" in page


def test_sweeps_under_way_are_compared_as_they_stand(tmp_path: Path) -> None:
    a = sweep(tmp_path / "a", 0.85)
    b = sweep_directory(tmp_path / "b", environment=ENVIRONMENT, split=SPLIT)
    study = open_study(open_storage(None, b.journal, owner=True))
    study.enqueue(DEFAULT)
    study.plan(3)
    study.ask()
    page = told(tmp_path, a, b)
    assert "b has no trial with a Dice." in page
    assert "b is not over: 3 trials to go." in page
    assert "better" not in page
    study.report(0, 111, evaluation(0.5, 111), {})
    page = told(tmp_path, a, b)
    assert answer(page).startswith("**Which is better can't be said:** no trial of b has reached the full budget.")


def test_three_sweeps_of_differing_spaces(tmp_path: Path) -> None:
    directories = [sweep(tmp_path / name, score) for name, score in (("a", 0.80), ("b", 0.85))]
    wider = {"space": {"learning_rate": {"float": [1e-5, 1e-1], "log": True}, "depth": {"int": [2, 5]}}, "default": {}}
    c = sweep_directory(tmp_path / "c", environment=ENVIRONMENT, split=SPLIT, changes=wider)
    space = SweepConfig.read(c.sweep_file).search_space
    play(open_study(open_storage(None, c.journal, owner=True), space=space), 3)
    files = write_comparison([*directories, c], output=tmp_path / "compare.html")
    page = files.markdown.read_text()
    searched = page.split("## What was searched")[1]
    assert row(searched, "learning_rate")[1:] == ["0.0001 to 0.01, log"] * 2 + ["1e-05 to 0.1, log"]
    assert row(searched, "depth")[1:] == ["", "", "2 to 5"]
    assert row(searched, "loss")[1:] == ["dice, dice_ce"] * 2 + [""]
    data = files.html.read_text().split('id="figure-best_so_far">')[1].split("</script>")[0]
    lines = {trace["name"]: trace["customdata"] for trace in json.loads(data)["data"]}
    assert lines["b"] == [[0, 0.75], [1, 0.85], [1, 0.85]]
    assert set(lines) == {"a", "b", "c"}


def test_what_can_not_be_compared_at_all_is_refused(tmp_path: Path) -> None:
    a = sweep(tmp_path / "a", 0.8)
    with pytest.raises(UserError, match="two sweeps or more, got only"):
        write_comparison([a])
    with pytest.raises(UserError, match="can't be compared with itself"):
        write_comparison([a, SweepDirectory(tmp_path / "x" / ".." / "a")])
    empty = sweep_directory(tmp_path / "empty")
    with pytest.raises(StudyError, match="sweep empty: no trial was begun yet"):
        write_comparison([a, empty])
    open_study(open_storage(None, empty.journal, owner=True)).plan(2)
    with pytest.raises(StudyError, match="sweep empty: no trial was begun yet, so there is nothing to compare"):
        write_comparison([a, empty])


def test_an_earlier_comparison_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    pair = [sweep(tmp_path / "a", 0.8), sweep(tmp_path / "b", 0.9)]
    output = tmp_path / "compare.html"
    for _ in range(2):
        assert write_comparison(pair, output=output).html == output
    (tmp_path / "mine.html").write_text("mine")
    with pytest.raises(OutputError, match=r"mine.html exists already"):
        write_comparison(pair, output=tmp_path / "mine.html")
    (tmp_path / "notes.md").write_text("mine")
    with pytest.raises(OutputError, match=r"notes.md exists already"):
        write_comparison(pair, output=tmp_path / "notes.html")
    assert not (tmp_path / "notes.html").exists()
    with pytest.raises(OutputError, match=r"ends in .html"):
        write_comparison(pair, output=tmp_path / "page.txt")


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        sweep(tmp_path / "runs" / name, 0.8)
    sweep(tmp_path / "other" / "a", 0.8)

    def voxtune(*arguments: object) -> Ended:
        return run_voxtune("report", *arguments, monkeypatch=monkeypatch, capsys=capsys)

    assert voxtune("--compare", "a", "b").out == "Comparison: compare.html, compare.md\n"
    assert "| runs/a | other/a |" in (
        voxtune("--compare", "a", "other/a", "-o", "two.html") and (tmp_path / "two.md").read_text()
    )
    for arguments, error in {
        ("--compare", "a", "nope"): "no sweep at nope or runs/nope",
        ("a", "b"): "one RUN at a time, got a, b; to compare them say --compare",
        ("a", "-o", "x.html"): "--output goes with --compare",
        ("--compare", "a"): "a comparison needs two sweeps or more, got only",
    }.items():
        ended = voxtune(*arguments)
        assert (ended.code, ended.out) == (2, "")
        assert error in " ".join(ended.err.split())
