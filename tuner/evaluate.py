"""Scores a model on cases with labels: a CSV by case and class, and a summary."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pandas as pd
from rich.table import Table

from trainables.decathlon import Dataset, read_dataset
from trainables.errors import DatasetError
from tuner.cells import cell
from tuner.files import check_output, replace_file

MEAN = "mean of the classes"

SplitPart = Literal["train", "validation", "test"]


def evaluate_model(
    model: Path,
    dataset: Path,
    *,
    cases: Path | None = None,
    part: SplitPart | None = None,
    output: Path,
    device: str | None = None,
    progress: Callable[[str, int, int], None] = lambda stage, done, of: None,
    tell: Callable[[str], None] = lambda text: None,
) -> pd.DataFrame:
    """Dice of `model` on cases of the data set in folder `dataset`, each in its own grid.

    Args:
        cases: a file naming the cases, one a line, or a sweep's split.json; all cases by default.
        part: which cases of a split.json; validation by default.
        output: CSV file for what is returned.
        device: `cpu`, `cuda` or e.g. `cuda:1`; by default the GPU if there is one.
        tell: told where a label's name differs from the model's: that may be another organ.

    Returns the columns case, class and dice. Raises DatasetError, ModelFileError, SettingError for the device, and
    OutputError where `output` exists already: nothing has been computed then.
    """
    check_output(output)
    data = read_dataset(dataset)
    names = _wanted(data, cases, part)

    from trainables.model_file import load_model  # torch takes seconds to import
    from trainables.prediction import evaluate_dataset

    trained = load_model(model)
    for target, values in zip(trained.targets.names, trained.targets.members, strict=True):
        called = [data.labels[value] for value in values if value in data.labels]
        if len(values) == 1 and called not in ([], [target]):
            tell(f"{dataset}: calls label {values[0]} {called[0]}; the model was trained on it as {target}")
    rows = evaluate_dataset(
        trained, data, names, device=device, progress=lambda done, of: progress("Evaluating", done, of)
    )
    scores = pd.DataFrame([{"case": row.case, "class": row.target, "dice": row.dice} for row in rows])
    replace_file(output, lambda path: scores.to_csv(path, index=False))
    return scores


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """One row a class, then MEAN, each case's mean over the classes, if there are several.

    Columns: class; mean, sd (of the sample, NaN for one case) and median over the cases; worst, the lowest Dice, and
    worst_case, whose it is.
    """
    parts = {str(name): rows.set_index("case")["dice"] for name, rows in scores.groupby("class", sort=False)}
    if len(parts) > 1:
        parts[MEAN] = scores.groupby("case", sort=False)["dice"].mean()
    return pd.DataFrame(
        [
            {
                "class": name,
                "mean": dice.mean(),
                "sd": dice.std(),
                "median": dice.median(),
                "worst": dice.min(),
                "worst_case": dice.idxmin(),
            }
            for name, dice in parts.items()
        ]
    )


def dice_table(scores: pd.DataFrame) -> Table:
    """The summary, for a terminal."""
    count = scores["case"].nunique()
    title = f"Dice of {count} cases" if count != 1 else "Dice of 1 case"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("class")
    for heading in ("mean ± sd", "median", "worst"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("case")
    for row in summarise(scores).to_dict("records"):
        spread = f"{row['mean']:.4f} ± {row['sd']:.4f}" if count > 1 else f"{row['mean']:.4f}"
        style = "bold" if row["class"] == MEAN else ""
        name, worst = cell(row["class"]), cell(row["worst_case"])
        table.add_row(name, spread, f"{row['median']:.4f}", f"{row['worst']:.4f}", worst, style=style)
    return table


def _wanted(data: Dataset, file: Path | None, part: SplitPart | None) -> list[str]:
    """The cases to score. Raises DatasetError where `file` can't be read so, or names a case that `data` lacks."""
    known = data.case_names
    if part is not None and (file is None or file.suffix != ".json"):
        raise DatasetError(f"part {part}: is of a split.json; name one as the file of cases")
    if file is None:
        return list(known)
    try:
        text = file.read_text()
        names = json.loads(text)[part or "validation"] if file.suffix == ".json" else text.splitlines()
        wanted = [name.strip() for name in names if name.strip()]
    except OSError as error:
        raise DatasetError(f"{file}: can't be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DatasetError(f"{file}: must hold case names, one a line, or be a sweep's split.json") from None
    if not wanted:
        raise DatasetError(f"{file}: names no {part or ''} case".replace("  ", " "))
    if missing := [name for name in wanted if name not in set(known)]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DatasetError(f"{file}: names {missing[0]}{more}, which {data.root} has not")
    return list(dict.fromkeys(wanted))
