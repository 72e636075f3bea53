"""The small files that lie beside a study in a sweep's directory."""

import json
import shutil
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from fuzzing.guard import Subject
from fuzzing.played import ENVIRONMENT, IN_JOURNAL, IN_STUDY, SPLIT, new_directory, played_sweep
from fuzzing.values import garbled, mutated
from tuner.report import write_report
from tuner.status import read_status

OWNER = {"host": "there", "pid": 7, "boot": "b", "started": 1.0, "command": "voxtune run", "since": "2026-01-01T00:00"}
BEST_CASES = {
    "run": "sweep:0",
    "part": "validation",
    "rows": "truth above",
    "cases": [{"case": "case_001", "dice": 0.7, "classes": {"A": 0.7}, "picture": "cases/0001.jpg"}],
}
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
        return name, json.dumps(draw(mutated(_SMALL[name], foreign=IN_STUDY))).encode()
    return name, draw(garbled(json.dumps(_SMALL[name]).encode(), tokens=IN_JOURNAL))


def _beside_a_study() -> st.SearchStrategy[tuple[str, bytes]]:
    played_sweep()  # before the first input: it takes seconds
    return _small_files()


def _use_small_file(given: tuple[str, bytes], folder: Path) -> None:
    name, content = given
    directory = new_directory(folder)
    shutil.copyfile(played_sweep().journal, directory.journal)
    (directory.root / name).parent.mkdir(exist_ok=True)
    (directory.root / name).write_bytes(content)
    read_status(directory)
    write_report(directory)


SUBJECTS = (
    Subject(
        name="small files of a sweep",
        inputs=_beside_a_study,
        use=_use_small_file,
        good=lambda: ("split.json", json.dumps(SPLIT).encode()),
        examples=1,
    ),
)
