"""Studies: a journal of records, an SQLite file, and the small files that lie beside them in a sweep's directory."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from make_sweep import DEFAULT, SPACE, evaluation, open_study, play, stint_on, sweep_directory
from rich.console import Console

from fuzzing.good import place
from fuzzing.guard import Subject
from fuzzing.values import FOREIGN, SCALARS, garbled, mutated
from search_spaces.space import parse_space
from tuner.directory import SweepDirectory
from tuner.followed import Followed
from tuner.leaderboard import leaderboard
from tuner.reading import StudyReader
from tuner.report import write_report
from tuner.results import read_results
from tuner.status import read_status, status_lines, unfinished_trials
from tuner.storage import CONFIRM, FOLDS, SWEEP, open_storage, stored_name
from tuner.study import DEFAULT_ORIGIN, DEVICES
from tuner.warm_start import best_of_earlier

SPLIT = {"train": ["case_005", "case_006"], "validation": ["case_001", "case_002"], "test": ["case_003", "case_004"]}
ENVIRONMENT = {
    "python": "3.11.7",
    "libraries": {"voxtune": "0.1.0", "torch": "2.13.0"},
    "cores": 4,
    "memory_gib": 16.0,
    "devices": [],
    "command": ["voxtune", "run"],
    "precision_checks": [],
    "dataset": {"name": "Heart", "modalities": ["CT"], "content_hash": "0" * 64, "label_shares": {"Atrium": 0.1}},
}
OWNER = {"host": "there", "pid": 7, "boot": "b", "started": 1.0, "command": "voxtune run", "since": "2026-01-01T00:00"}
BEST_CASES = {
    "run": "sweep:0",
    "part": "validation",
    "rows": "truth above",
    "cases": [{"case": "case_001", "dice": 0.7, "classes": {"A": 0.7}, "picture": "cases/0001.jpg"}],
}


def _played(url: str | None, folder: Path) -> SweepDirectory:
    """A sweep with trials of every ending, and a confirm stage."""
    directory = sweep_directory(folder, trials=7, environment=ENVIRONMENT, split=SPLIT, changes={"storage": url})
    storage = open_storage(url, directory.journal, owner=True)
    sweep = open_study(storage, name=stored_name(SWEEP, folder.name, url))
    sweep.optuna.set_user_attr(DEVICES, {"core": 1})
    sweep.enqueue(DEFAULT, origin=DEFAULT_ORIGIN)
    play(sweep, 4)
    sweep.finish(sweep.ask().number, "out of memory", facts={"estimated_gib": 3.0, "memory_limit_gib": 2.0})
    sweep.finish(sweep.ask().number, "error", error='Traceback\n  File "x.py", line 1\nRuntimeError: a bug')
    running = sweep.ask().number
    sweep.report(running, 111, evaluation(0.5, 111), stint=stint_on("node-2"))
    sweep.plan(9)
    confirm = open_study(storage, name=stored_name(CONFIRM, folder.name, url))
    first = sweep.trials()[0]
    for seed in (1, 2):
        confirm.enqueue(first.params, seed=seed, of=0)
        number = confirm.ask().number
        confirm.report(number, 1000, evaluation(0.8 + seed / 100, 1000), stint=stint_on("node-1"))
        confirm.finish(number, "full budget")
    confirm.optuna.set_user_attr("test", {"confirm:0": {"case_003": {"Anterior": 0.7, "Posterior": 0.6}}})
    return directory


@cache
def _sweep() -> SweepDirectory:
    return _played(None, place() / "journal" / "heart")


@cache
def _journal() -> tuple[dict[str, Any], ...]:
    return tuple(json.loads(line) for line in _sweep().journal.read_text().splitlines())


@cache
def _database() -> bytes:
    file = place() / "study.db"
    _played(f"sqlite:///{file}", place() / "database" / "heart")
    return file.read_bytes()


@st.composite
def _journals(draw: DrawFn) -> bytes:
    """Records changed, left out or repeated; then their text."""
    records: list[Any] = list(_journal())
    for _ in range(draw(st.integers(0, 3))):
        if not records:
            break
        index = draw(st.integers(0, len(records) - 1))
        match draw(st.sampled_from(("value", "value", "value", "change", "leave out", "repeat", "cut off"))):
            case "change":
                records[index] = draw(mutated(records[index], foreign=_IN_STUDY))
            case "value":
                # What Optuna takes whatever it is, and only we know to be of a type.
                told = [number for number, record in enumerate(records) if "user_attr" in _mapping(record)]
                index = draw(st.sampled_from(told or [index]))
                value = draw(mutated(_mapping(records[index]).get("user_attr"), foreign=_IN_STUDY))
                records[index] = {**_mapping(records[index]), "user_attr": value}
            case "leave out":
                del records[index]
            case "repeat":
                records.insert(draw(st.integers(0, len(records))), records[index])
            case "cut off":
                del records[max(index, 1) :]
    text = _as_journal(records)
    return draw(garbled(text, tokens=_IN_JOURNAL, most=2)) if draw(st.booleans()) else text


def _mapping(record: Any) -> dict[str, Any]:
    return record if isinstance(record, dict) else {}


def _as_journal(records: Iterable[Any]) -> bytes:
    return "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records).encode()


def _good_journal() -> bytes:
    return _as_journal(_journal())


_IN_STUDY = st.one_of(FOREIGN, st.sampled_from([float("nan"), float("inf"), "NaN", {"a": {"b": float("nan")}}, [[]]]))

_IN_JOURNAL = (b"\n", b"NaN", b'{"op_code":', b"[" * 3000, b"\0" * 30, b"\xff", b"9" * 5000, b'"', b"null", b"1e999")


@st.composite
def _databases(draw: DrawFn) -> bytes:
    """Cells, rows and columns changed by SQL; or the file's bytes."""
    if draw(st.integers(0, 4)) == 0:
        return draw(garbled(_database(), tokens=(b"\0" * 50, b"\xff" * 50)))
    with closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(_database())
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
    _IN_STUDY.map(lambda value: json.dumps(value)),
    st.binary(max_size=5),
)


@cache
def _columns() -> list[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(_database())
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [(table, column[1]) for table in tables for column in database.execute(f"PRAGMA table_info({table})")]


def _run(database: sqlite3.Connection, statement: str, *values: Any) -> None:
    try:
        database.execute(statement, values)
    except (sqlite3.Error, OverflowError, UnicodeEncodeError):
        return  # what SQLite itself does not take


def _directory(folder: Path, url: str | None = None) -> SweepDirectory:
    return sweep_directory(folder / "heart", trials=7, environment=ENVIRONMENT, split=SPLIT, changes={"storage": url})


def _use_journal(given: tuple[str, bytes], folder: Path) -> None:
    way, content = given
    directory = _directory(folder)
    directory.journal.write_bytes(content)
    _WAYS[way](directory, None)


def _use_database(given: tuple[str, bytes], folder: Path) -> None:
    way, content = given
    file = folder / "study.db"
    file.write_bytes(content)
    url = f"sqlite:///{file}"
    _WAYS[way](_directory(folder, url), url)


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


_SMALL = {
    "environment.json": ENVIRONMENT,
    "split.json": SPLIT,
    "owner.json": OWNER,
    "best/cases.json": BEST_CASES,
    "ray.json": {"dashboard": "127.0.0.1:1"},
}


@st.composite
def _small_files(draw: DrawFn) -> tuple[str, bytes]:
    name = draw(st.sampled_from(sorted(_SMALL)))
    if draw(st.booleans()):
        return name, json.dumps(draw(mutated(_SMALL[name], foreign=_IN_STUDY))).encode()
    return name, draw(garbled(json.dumps(_SMALL[name]).encode(), tokens=_IN_JOURNAL))


def _use_small_file(given: tuple[str, bytes], folder: Path) -> None:
    name, content = given
    directory = _directory(folder)
    shutil.copyfile(_sweep().journal, directory.journal)
    (directory.root / name).parent.mkdir(exist_ok=True)
    (directory.root / name).write_bytes(content)
    read_status(directory)
    write_report(directory)


def _use_in_report(content: bytes, folder: Path) -> None:
    directory = _directory(folder)
    directory.journal.write_bytes(content)
    write_report(directory)


def _with_journal() -> Any:
    _journal()
    return _small_files()


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
        good=lambda: ("tables", _database()),
        examples=8,
    ),
    Subject(name="study in a report", inputs=_journals, use=_use_in_report, good=_good_journal, examples=1),
    Subject(
        name="small files of a sweep",
        inputs=_with_journal,
        use=_use_small_file,
        good=lambda: ("split.json", json.dumps(SPLIT).encode()),
        examples=1,
    ),
)
