"""A study that someone else wrote into is refused by trial, attribute, rule and value."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from make_sweep import open_study, play, sweep_directory

from tuner.directory import SweepDirectory
from tuner.errors import StudyError
from tuner.reading import StudyReader
from tuner.results import read_results
from tuner.storage import open_storage
from tuner.study import SweepStudy


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    directory = sweep_directory(tmp_path_factory.mktemp("runs") / "heart")
    play(open_study(open_storage(None, directory.journal, owner=True)), 2)
    return directory.journal.read_bytes()


@pytest.fixture
def directory(tmp_path: Path, played: bytes) -> SweepDirectory:
    directory = sweep_directory(tmp_path / "heart")
    directory.journal.write_bytes(played)
    return directory


def refused(directory: SweepDirectory) -> str:
    """What every way of reading the study says."""
    told = set()
    ways: tuple[Callable[[], object], ...] = (
        lambda: read_results(directory),
        lambda: StudyReader(directory).study("sweep"),
    )
    for way in ways:
        with pytest.raises(StudyError) as caught:
            way()
        told.add(str(caught.value))
    (one,) = told
    assert one.startswith(f"study journal {directory.journal}: ")
    return one.removeprefix(f"study journal {directory.journal}: ")


def change(directory: SweepDirectory, of: Callable[[dict[str, Any]], object]) -> None:
    """Have `of` change the records of the journal; those for which it gives True go."""
    records = [json.loads(line) for line in directory.journal.read_text().splitlines()]
    directory.journal.write_text("".join(json.dumps(record) + "\n" for record in records if of(record) is not True))


def test_what_voxtune_wrote_is_read(directory: SweepDirectory) -> None:
    assert len(read_results(directory).trials) == 2
    study = StudyReader(directory).study("sweep")
    assert isinstance(study, SweepStudy)


EVALUATION = {
    "step": 111,
    "score": 0.5,
    "budget_used": 1.0,
    "steps": 1,
    "training_seconds": 1.0,
    "evaluation_seconds": 1.0,
}


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("seed", "1", "attribute seed: should be a whole number, got '1'"),
        ("of", -1, "attribute of: should be greater than or equal to 0, got -1"),
        ("stop_reason", None, "attribute stop_reason: should be a string, got None"),
        ("evaluations", [], "attribute evaluations: List should have at least 1 item after validation, not 0, got []"),
        (
            "evaluations",
            [{**EVALUATION, "step": 2000}],
            "attribute evaluations.0.step: should be less than or",
        ),
        ("evaluations", [{"step": 1}], "attribute evaluations.0.score: is missing"),
        ("evaluations", [{**EVALUATION, "dice_A": "x"}], "dice_A of an evaluation must be a number, got 'x'"),
        ("cases", {"a": 0.5}, "attribute cases.a: should be a dictionary, got 0.5"),
        ("stints", [{"node": "n"}], "attribute stints.0.pid: is missing"),
        ("peak_gib", float("nan"), "attribute peak_gib: should be a finite number, got nan"),
    ],
)
def test_attributes_of_a_trial(directory: SweepDirectory, name: str, value: Any, told: str) -> None:
    storage = open_storage(None, directory.journal, owner=True)
    storage.set_trial_user_attr(storage.create_new_trial(0), name, value)
    assert refused(directory).startswith(f"study 'sweep': trial 2: {told}")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("space", {"x": {"float": [2, 1]}}, "space.x: low 2.0 must be below high 1.0"),
        ("space", 3, "attribute space: should be a dictionary, got 3"),
        ("objectives", ["dice", "peak_gib"], "objectives ['dice', 'peak_gib'] do not fit its 1 directions"),
        ("objectives", "dice", "attribute objectives: should be a list, got 'dice'"),
        ("test", {"sweep:0": 0.5}, "attribute test.sweep:0: should be a dictionary, got 0.5"),
    ],
)
def test_attributes_of_the_study(directory: SweepDirectory, name: str, value: Any, told: str) -> None:
    open_storage(None, directory.journal, owner=True).set_study_user_attr(0, name, value)
    assert refused(directory) == f"study 'sweep': {told}"


SET_PARAMETER, SET_STATE, SET_VALUE = 5, 6, 7
"""Optuna's codes of records."""


@pytest.mark.parametrize(
    ("of", "told"),
    [
        (
            lambda record: record["op_code"] == SET_PARAMETER and record["param_name"] == "loss",
            "trial 0: is COMPLETE, and has no value for some of learning_rate, batch_size, patch_size, loss",
        ),
        (
            lambda record: record.get("step") == 1000,
            "trial 0: is COMPLETE, and lacks its scores at the full budget",
        ),
        (
            lambda record: record.update(step=5000) if record.get("step") == 1000 else None,
            "trial 0: scores are finite, at 1 to 1000 thousandths of the budget; got 0.",
        ),
        (
            lambda record: record.update(param_name="other") if record.get("param_name") == "loss" else None,
            "trial 0: has a value for 'other', which the study does not search",
        ),
    ],
)
def test_what_optuna_takes_and_no_trial_of_ours_is(
    directory: SweepDirectory, of: Callable[[dict[str, Any]], object], told: str
) -> None:
    change(directory, of)
    assert refused(directory).startswith(f"study 'sweep': {told}")


def test_a_record_that_optuna_can_not_replay(directory: SweepDirectory) -> None:
    change(directory, lambda record: record.update(directions=["s"]) if "directions" in record else None)
    with pytest.raises(StudyError, match=r"study\.journal is not one that Optuna .* can read: ValueError"):
        read_results(directory)


def test_a_line_that_is_nested_too_deep_is_no_record(directory: SweepDirectory) -> None:
    with directory.journal.open("ab") as file:
        file.write(b"[" * 100_000 + b"\n")
    with pytest.raises(StudyError, match=r"is damaged: line \d+ is no record"):
        read_results(directory)


def test_a_database_with_values_that_are_none_of_optunas(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    directory = sweep_directory(tmp_path / "heart", changes={"storage": url})
    play(open_study(open_storage(url, directory.journal, owner=True), name="heart/sweep"), 1)
    with closing(sqlite3.connect(tmp_path / "study.db")) as database:
        database.execute("UPDATE trial_user_attributes SET value_json = '{'")
        database.commit()
    with pytest.raises(StudyError, match=rf"storage: {url}: holds what Optuna .* can't read: JSONDecodeError"):
        read_results(directory)


def test_a_repeat_of_no_trial(directory: SweepDirectory) -> None:
    confirm = open_study(open_storage(None, directory.journal, owner=True), name="confirm")
    confirm.enqueue({}, seed=1, of=2)
    with pytest.raises(StudyError, match="trial 0 of confirm: names no trial of the sweep that it repeats"):
        read_results(directory)


def test_a_driver_goes_on_with_no_such_study(directory: SweepDirectory) -> None:
    storage = open_storage(None, directory.journal, owner=True)
    storage.set_trial_user_attr(storage.create_new_trial(0), "seed", [])
    with pytest.raises(StudyError, match=r"trial 2: attribute seed: should be a whole number, got \[\]"):
        open_study(storage)
