"""A sweep with trials of every ending, as files: what the fuzz of studies changes."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from make_sweep import DEFAULT, evaluation, open_study, play, stint_on, sweep_directory

from fuzzing.good import place
from fuzzing.values import FOREIGN
from tuner.directory import SweepDirectory
from tuner.storage import CONFIRM, SWEEP, open_storage, stored_name
from tuner.study import DEFAULT_ORIGIN, DEVICES

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

IN_STUDY = st.one_of(FOREIGN, st.sampled_from([float("nan"), float("inf"), "NaN", {"a": {"b": float("nan")}}, [[]]]))
IN_JOURNAL = (b"\n", b"NaN", b'{"op_code":', b"[" * 3000, b"\0" * 30, b"\xff", b"9" * 5000, b'"', b"null", b"1e999")


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
def played_sweep() -> SweepDirectory:
    return _played(None, place() / "journal" / "heart")


@cache
def journal_records() -> tuple[dict[str, Any], ...]:
    return tuple(json.loads(line) for line in played_sweep().journal.read_text().splitlines())


@cache
def database_file() -> bytes:
    file = place() / "study.db"
    _played(f"sqlite:///{file}", place() / "database" / "heart")
    return file.read_bytes()


def new_directory(folder: Path, url: str | None = None) -> SweepDirectory:
    return sweep_directory(folder / "heart", trials=7, environment=ENVIRONMENT, split=SPLIT, changes={"storage": url})
