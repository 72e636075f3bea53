"""Studies: a journal of records, and an SQLite file."""

import json
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from make_sweep import SPACE, evaluation, open_study, stint_on
from rich.console import Console

from fuzzing.guard import Subject
from fuzzing.played import IN_JOURNAL, IN_STUDY, database_file, journal_records, new_directory
from fuzzing.values import SCALARS, garbled, mutated
from search_spaces.space import parse_space
from tuner.directory import SweepDirectory
from tuner.followed import Followed
from tuner.leaderboard import leaderboard
from tuner.reading import StudyReader
from tuner.report import write_report
from tuner.results import read_results
from tuner.status import read_status, status_lines, unfinished_trials
from tuner.storage import CONFIRM, FOLDS, SWEEP, open_storage, stored_name
from tuner.warm_start import best_of_earlier


@st.composite
def _journals(draw: DrawFn) -> bytes:
    """Records changed, left out or repeated; then their text."""
    records: list[Any] = list(journal_records())
    for _ in range(draw(st.integers(0, 3))):
        if not records:
            break
        index = draw(st.integers(0, len(records) - 1))
        match draw(st.sampled_from(("value", "value", "value", "change", "leave out", "repeat", "cut off"))):
            case "change":
                records[index] = draw(mutated(records[index], foreign=IN_STUDY))
            case "value":
                # What Optuna takes whatever it is, and only we know to be of a type.
                told = [number for number, record in enumerate(records) if "user_attr" in _mapping(record)]
                index = draw(st.sampled_from(told or [index]))
                value = draw(mutated(_mapping(records[index]).get("user_attr"), foreign=IN_STUDY))
                records[index] = {**_mapping(records[index]), "user_attr": value}
            case "leave out":
                del records[index]
            case "repeat":
                records.insert(draw(st.integers(0, len(records))), records[index])
            case "cut off":
                del records[max(index, 1) :]
    text = _as_journal(records)
    return draw(garbled(text, tokens=IN_JOURNAL, most=2)) if draw(st.booleans()) else text


def _mapping(record: Any) -> dict[str, Any]:
    return record if isinstance(record, dict) else {}


def _as_journal(records: Iterable[Any]) -> bytes:
    return "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records).encode()


def _good_journal() -> bytes:
    return _as_journal(journal_records())


@st.composite
def _databases(draw: DrawFn) -> bytes:
    """Cells, rows and columns changed by SQL; or the file's bytes."""
    if draw(st.integers(0, 4)) == 0:
        return draw(garbled(database_file(), tokens=(b"\0" * 50, b"\xff" * 50)))
    with closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(database_file())
        for _ in range(draw(st.integers(0, 3))):
            table, column = draw(st.sampled_from(_columns()))
            row = draw(st.integers(1, 30))
            match draw(st.sampled_from(("cell", "cell", "cell", "cell", "row", "all", "column"))):
                case "cell":
                    place = f"{row} % (SELECT count(*) + 1 FROM {table})"
                    _run(database, f"UPDATE {table} SET {column} = ? WHERE rowid = {place}", draw(_CELLS))
                case "row":
                    _run(database, f"DELETE FROM {table} WHERE rowid = {row}")
                case "all":
                    _run(database, f"DELETE FROM {table}")
                case "column":
                    _run(database, f"ALTER TABLE {table} DROP COLUMN {column}")
        database.commit()
        return database.serialize()


_CELLS = st.one_of(
    SCALARS.filter(lambda value: not isinstance(value, int) or abs(value) < 2**63),
    IN_STUDY.map(lambda value: json.dumps(value)),
    st.binary(max_size=5),
)


@cache
def _columns() -> list[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(database_file())
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [(table, column[1]) for table in tables for column in database.execute(f"PRAGMA table_info({table})")]


def _run(database: sqlite3.Connection, statement: str, *values: Any) -> None:
    try:
        database.execute(statement, values)
    except (sqlite3.Error, OverflowError, UnicodeEncodeError):
        return  # what SQLite itself does not take


def _use_journal(given: tuple[str, bytes], folder: Path) -> None:
    way, content = given
    directory = new_directory(folder)
    directory.journal.write_bytes(content)
    _WAYS[way](directory, None)


def _use_database(given: tuple[str, bytes], folder: Path) -> None:
    way, content = given
    file = folder / "study.db"
    file.write_bytes(content)
    url = f"sqlite:///{file}"
    _WAYS[way](new_directory(folder, url), url)


def _status(directory: SweepDirectory, url: str | None) -> None:
    status = read_status(directory)
    assert status_lines(status)
    _print(unfinished_trials(status))


def _tables(directory: SweepDirectory, url: str | None) -> None:
    results = read_results(directory)
    for table in (results.trials, results.repeats, results.curves, results.cases, results.confirmed_summary):
        table.to_csv()
    _print(leaderboard(results))


def _watched(directory: SweepDirectory, url: str | None) -> None:
    reader = StudyReader(directory)
    for name in (SWEEP, CONFIRM, FOLDS):
        if study := reader.study(name):
            Followed(study, title=name).summary()


def _taken_over(directory: SweepDirectory, url: str | None) -> None:
    best_of_earlier(directory, parse_space(SPACE))


def _resumed(directory: SweepDirectory, url: str | None) -> None:
    """What a driver does with a study before and after it trains."""
    storage = open_storage(url, directory.journal, owner=True)
    study = open_study(storage, name=stored_name(SWEEP, directory.name, url), space=parse_space(SPACE))
    study.release([trial.number for trial in study.running_elsewhere()])
    study.trials_left(16)
    study.first_error()
    proposal = study.ask()
    step = max(proposal.steps_done, default=0)
    if step < 1000:
        study.report(proposal.number, 1000, evaluation(0.5, 1000), stint=stint_on("node-3"))
        study.finish(proposal.number, "full budget")
    study.ranking()


_WAYS: dict[str, Callable[[SweepDirectory, str | None], None]] = {
    "status": _status,
    "tables": _tables,
    "watch": _watched,
    "run --from": _taken_over,
    "resume": _resumed,
}
"""In which voxtune reads a study."""


def _read_by_some_way(contents: st.SearchStrategy[bytes]) -> st.SearchStrategy[tuple[str, bytes]]:
    return st.tuples(st.sampled_from(sorted(_WAYS)), contents)


def _print(what: Any) -> None:
    with Path("/dev/null").open("w") as nothing:
        Console(file=nothing, width=100).print(what)


def _use_in_report(content: bytes, folder: Path) -> None:
    directory = new_directory(folder)
    directory.journal.write_bytes(content)
    write_report(directory)


SUBJECTS = (
    Subject(
        name="study journal",
        inputs=lambda: _read_by_some_way(_journals()),
        use=_use_journal,
        good=lambda: ("tables", _good_journal()),
        examples=40,
    ),
    Subject(
        name="study in SQLite",
        inputs=lambda: _read_by_some_way(_databases()),
        use=_use_database,
        good=lambda: ("tables", database_file()),
        examples=8,
    ),
    Subject(name="study in a report", inputs=_journals, use=_use_in_report, good=_good_journal, examples=1),
)
