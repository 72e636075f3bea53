"""Which of the best model's validation cases are pictured, and `best/cases.json`, which lists them from the worst.

    {"run": "sweep:7", "part": "validation", "rows": "truth above, prediction below, ...",
     "cases": [{"case": "heart_004", "dice": 0.71, "classes": {"Atrium": 0.71}, "picture": "cases/0001.jpg"}, ...]}

The Dice is the study's own, of the run's last evaluation, in preprocessed voxels. All cases are listed; one that is not
pictured has no `picture`.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainables.picture import COLOUR_NAMES
from tuner.best import Run
from tuner.directory import SweepDirectory
from tuner.errors import SweepDirectoryError
from tuner.files import replace_file, write_text
from tuner.results import Results
from tuner.sweep_files import read_best_cases

MOST = 60
"""Pictures that are made, some 1.5 MB."""

WORST = 30
"""Of them so many are of the worst cases; the rest are evenly of the others, the best one among them."""

ROWS = "truth above, prediction below, each plane where they differ most"

FORMATS = (".jpg", ".jpeg", ".png")

Scores = Mapping[str, Mapping[str, float]]
"""Dice by case and class."""


def run_name(run: Run) -> str:
    """`sweep:7`."""
    return f"{run.study}:{run.number}"


def validation_scores(results: Results, run: Run) -> Scores:
    """What the study says of the run's validation cases, the worst first: by the mean over their classes."""
    trials = results.sweep_trials if run.study == "sweep" else results.confirm_trials
    scores: Scores = trials[run.number].user_attrs.get("cases", {})
    return {case: scores[case] for case in sorted(scores, key=lambda case: (mean_dice(scores[case]), case))}


def mean_dice(classes: Mapping[str, float]) -> float:
    return float(np.mean(list(classes.values())))


def worth_a_picture(cases: Sequence[str]) -> list[str]:
    """Of cases from worst to best those to be pictured, in that order: all, unless there are more than `MOST`."""
    if len(cases) <= MOST:
        return list(cases)
    others = np.linspace(WORST, len(cases) - 1, MOST - WORST).round().astype(int)
    return [*cases[:WORST], *(cases[place] for place in others)]


def are_pictured(directory: SweepDirectory, run: Run) -> bool:
    """Whether the pictures in the directory are this run's."""
    try:
        return read_best_cases(directory).get("run") == run_name(run)
    except SweepDirectoryError:
        return False


def rows(scores: Scores) -> str:
    """What the pictures show, in words; `scores` tells of which classes."""
    classes = list(next(iter(scores.values()), {}))
    if not 1 < len(classes) <= len(COLOUR_NAMES):
        return ROWS
    return f"{ROWS} ({', '.join(f'{name} {colour}' for name, colour in zip(classes, COLOUR_NAMES, strict=False))})"


def write_cases(directory: SweepDirectory, run: Run, scores: Scores, pictures: Mapping[str, bytes]) -> None:
    """Put the JPEGs `pictures`, by case, in the place of another run's. `scores`: of all cases, the worst first.

    The list is written last: while there is one, its pictures are there. Raises OSError.
    """
    directory.best_cases.unlink(missing_ok=True)
    shutil.rmtree(directory.case_pictures, ignore_errors=True)
    cases: list[dict[str, Any]] = []
    for rank, (case, classes) in enumerate(scores.items(), start=1):
        entry: dict[str, Any] = {"case": case, "dice": mean_dice(classes), "classes": dict(classes)}
        if picture := pictures.get(case):
            path = directory.case_pictures / f"{rank:04d}.jpg"
            _put(path, picture)
            entry["picture"] = path.relative_to(directory.best_cases.parent).as_posix()
        cases.append(entry)
    content = {"run": run_name(run), "part": "validation", "rows": rows(scores), "cases": cases}
    write_text(directory.best_cases, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def picture_of(case: Mapping[str, Any], directory: SweepDirectory) -> Path:
    """The picture that an entry of `best/cases.json` names.

    Raises SweepDirectoryError for what is no picture in its folder.
    """
    folder = directory.best_cases.parent.resolve()
    try:
        file = (folder / case["picture"]).resolve()
        file.is_file()  # a name that the file system takes
    except (OSError, ValueError, RuntimeError):
        file = folder
    if not file.is_relative_to(folder) or file.suffix.lower() not in FORMATS:
        raise SweepDirectoryError(f"{directory.best_cases}: {case['picture']!r:.80} is no picture in its folder")
    return file


def _put(path: Path, content: bytes) -> None:
    replace_file(path, lambda temporary: temporary.write_bytes(content))
