"""Scores a model on cases with labels: a CSV by case and class, and a summary."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from trainables.decathlon import Dataset, read_dataset
from trainables.errors import DatasetError
from tuner.files import replace_file


def evaluate_model(
    model: Path,
    dataset: Path,
    *,
    cases: Path | None = None,
    part: str = "validation",
    output: Path,
    progress: Callable[[str, int, int], None],
) -> pd.DataFrame:
    """Dice of `model` on cases of the data set in folder `dataset`, each in its own grid.

    Args:
        cases: a file naming the cases, one a line, or a sweep's split.json; all cases by default.
        part: which cases of a split.json: train, validation or test.
        output: CSV file with the columns case, class, dice.

    Returns one row a class: mean, standard deviation, lowest and median Dice over the cases.
    Raises DatasetError or ModelFileError.
    """
    data = read_dataset(dataset)
    names = _wanted(data, cases, part)

    from trainables.model_file import load_model  # torch takes seconds to import
    from trainables.prediction import evaluate_dataset

    rows = evaluate_dataset(load_model(model), data, names, progress=lambda done, of: progress("Evaluating", done, of))
    table = pd.DataFrame([{"case": row.case, "class": row.target, "dice": row.dice} for row in rows])
    replace_file(output, lambda path: table.to_csv(path, index=False))
    return summarise(table)


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation, lowest and median Dice by class, and of the cases' means over classes."""
    means = table.groupby("case", as_index=False)["dice"].mean().assign(**{"class": "mean"})
    grouped = pd.concat([table, means]).groupby("class", sort=False)["dice"]
    return grouped.agg(["mean", "std", "min", "median", "count"])


def _wanted(data: Dataset, file: Path | None, part: str) -> list[str]:
    known = [case.name for case in data.cases]
    if file is None:
        return known
    try:
        text = file.read_text()
        wanted = json.loads(text)[part] if file.suffix == ".json" else text.split()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{file}: expected case names, one a line, or a split.json with {part!r}: {error}") from None
    missing = sorted(set(wanted) - set(known))
    if missing or not wanted:
        raise DatasetError(f"{file}: names no case of {data.root}: {', '.join(missing[:5]) or '(empty)'}")
    return list(wanted)
