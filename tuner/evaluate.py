"""Scores a model on cases with labels: a CSV by case and class, and a summary."""

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from rich.table import Table

from trainables.dataset import Dataset
from trainables.errors import DatasetError
from trainables.layouts import read_dataset
from tuner.cells import cell
from tuner.directory import SweepDirectory
from tuner.files import check_output, replace_file

MEAN = "mean of the classes"

SURFACE = ["nsd", "hd95"]
"""Columns that there are where surfaces were compared."""

SplitPart = Literal["train", "validation", "test"]


def evaluate_model(
    model: Path,
    dataset: Path,
    *,
    cases: Path | None = None,
    part: SplitPart | None = None,
    output: Path,
    device: str | None = None,
    flips: str = "",
    tolerance: float | None = None,
    progress: Callable[[str, int, int], None] = lambda stage, done, of: None,
    tell: Callable[[str], None] = lambda text: None,
    on_failure: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Scores of `model` on cases of the data set in folder `dataset`, each in its own grid.

    Args:
        model: a file, or a folder of them, an ensemble.
        cases: a file naming the cases, one a line, or a sweep's split.json; all cases by default.
        part: which cases of a split.json; validation by default.
        output: CSV file for what is returned.
        device: `cpu`, `cuda` or e.g. `cuda:1`; by default the GPU if there is one.
        flips: axes along which images are mirrored, as in `Predictor`.
        tolerance: mm by which surfaces may differ; None leaves surfaces out.
        tell: told where a label's name differs from the model's: that may be another organ.
        on_failure: told what is wrong with a case that can't be scored, which is left out; by default it is raised.

    Returns the columns case, class and dice; with a tolerance nsd and hd95 (mm) too, the latter NaN (an empty cell of
    the file) where a class is in the label or the prediction only. Raises DatasetError, ModelFileError, SettingError
    for device, flips or tolerance, and OutputError where `output` exists already: nothing has been computed then.
    """
    check_output(output)
    data = read_dataset(dataset)
    names = cases_to_score(data, cases, part)

    from trainables.model_file import load_models  # torch takes seconds to import
    from trainables.predictor import doubtful_flips
    from trainables.scoring import evaluate_dataset

    trained = load_models(model)
    if note := _trained_on(model, data, names):
        tell(note)
    targets = trained[0].targets
    for target, values in zip(targets.names, targets.members, strict=True):
        called = [data.labels[value] for value in values if value in data.labels]
        if len(values) == 1 and called not in ([], [target]):
            tell(f"{dataset}: calls label {values[0]} {called[0]}; the model was trained on it as {target}")
    for note in doubtful_flips(trained, flips):
        tell(f"warning: {note}")
    rows = evaluate_dataset(
        trained,
        data,
        names,
        device=device,
        flips=flips,
        tolerance=tolerance,
        progress=lambda done, of: progress("Evaluating", done, of),
        on_failure=on_failure,
    )
    scores = pd.DataFrame(
        [
            {"case": row.case, "class": row.target, "dice": row.dice}
            | ({"nsd": row.surface.nsd, "hd95": row.surface.hd95} if row.surface else {})
            for row in rows
        ],
        columns=["case", "class", "dice", *([] if tolerance is None else SURFACE)],
    ).astype(dict.fromkeys([] if tolerance is None else SURFACE, float))
    if rows:
        replace_file(output, lambda path: scores.to_csv(path, index=False))
    return scores


def summarise(scores: pd.DataFrame, column: str = "dice", *, worst: Literal["min", "max"] = "min") -> pd.DataFrame:
    """One row a class, then MEAN, each case's mean over the classes, if there are several.

    Columns: class; of `column` mean, sd (of the sample, NaN for one case) and median over the cases that have a value;
    worst, the lowest or highest, and worst_case, whose it is; none, how many cases have no value.
    """
    parts = {str(name): rows.set_index("case")[column] for name, rows in scores.groupby("class", sort=False)}
    if len(parts) > 1:
        parts[MEAN] = scores.groupby("case", sort=False)[column].mean()
    return pd.DataFrame(
        [
            {
                "class": name,
                "mean": values.mean(),
                "sd": values.std(),
                "median": values.median(),
                "worst": values.agg(worst),
                "worst_case": "" if values.isna().all() else values.agg(f"idx{worst}"),
                "none": int(values.isna().sum()),
            }
            for name, values in parts.items()
        ]
    )


def dice_table(scores: pd.DataFrame) -> Table:
    """Dice, summed up for a terminal."""
    count = scores["case"].nunique()
    table = _table(f"Dice of {count} cases" if count != 1 else "Dice of 1 case")
    spread = "mean ± sd" if count > 1 else "mean"
    _add_columns(table, spread, "median", "worst")
    for row in summarise(scores).to_dict("records"):
        figures = [_spread(row, 4), f"{row['median']:.4f}", f"{row['worst']:.4f}"]
        table.add_row(cell(row["class"]), *figures, cell(row["worst_case"]), style=_style(row))
    return table


def surface_table(scores: pd.DataFrame, *, tolerance: float) -> Table:
    """NSD and HD95, summed up for a terminal; `tolerance` (mm) is what `scores` were made with."""
    table = _table(f"Surfaces: NSD at {tolerance:g} mm, HD95 in mm")
    _add_columns(table, "NSD", "HD95", "worst")
    nsd, hd95 = summarise(scores, "nsd").to_dict("records"), summarise(scores, "hd95", worst="max").to_dict("records")
    for share, distance in zip(nsd, hd95, strict=True):
        far = [_spread(distance, 2), f"{distance['worst']:.2f}"] if distance["worst_case"] else ["none", "none"]
        name, case = cell(share["class"]), cell(distance["worst_case"])
        table.add_row(name, _spread(share, 4), *far, case, style=_style(share))
    if missing := int(scores["hd95"].isna().sum()):
        table.caption_justify = "left"
        table.caption = (
            f"{missing} of {len(scores)} have no HD95 and are not in its mean: the class is in the label or the "
            "prediction only. Dice and NSD count them as 0."
        )
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")


def _add_columns(table: Table, *figures: str) -> None:
    table.add_column("class")
    for heading in figures:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("case")


def _spread(row: Mapping[Hashable, Any], digits: int) -> str:
    return f"{row['mean']:.{digits}f}" + ("" if pd.isna(row["sd"]) else f" ± {row['sd']:.{digits}f}")


def _style(row: Mapping[Hashable, Any]) -> str:
    return "bold" if row["class"] == MEAN else ""


def _trained_on(model: Path, data: Dataset, names: Sequence[str]) -> str | None:
    """A warning, if the model lies in a sweep's directory and cases are scored that its split names for training.

    A model's own file names no cases: who is given it need not know them. Those of folds were trained on other cases.
    """
    from tuner.storage import FOLDS  # Optuna takes half a second to import

    model = model.absolute()
    sweep = next((found for found in map(SweepDirectory, model.parents) if found.sweep_file.is_file()), None)
    if sweep is None or not model.is_file():
        return None
    if any(part.startswith(FOLDS) for part in model.relative_to(sweep.root).parts):
        return None
    split = sweep.split_file
    try:
        trained = set(cases_to_score(data, split, "train")).intersection(names)
    except DatasetError:
        return None  # of another data set
    if not trained:
        return None
    which = f"all {len(names)}" if len(trained) == len(names) else f"{len(trained)} of the {len(names)}"
    return (
        f"warning: the model was trained on {which} cases, and what it finds there says little of others; those that "
        f"it never saw: --cases {split}"
    )


def cases_to_score(data: Dataset, file: Path | None, part: SplitPart | None) -> list[str]:
    """The cases to score. Raises DatasetError where `file` can't be read so, or names a case that `data` lacks."""
    known = data.case_names
    if part is not None and (file is None or file.suffix != ".json"):
        raise DatasetError(f"part {part}: is of a split.json; name one as the file of cases")
    if file is None:
        return list(known)
    try:
        text = file.read_text(encoding="utf-8-sig")
        names = json.loads(text)[part or "validation"] if file.suffix == ".json" else text.splitlines()
        wanted = [name.strip() for name in names if name.strip()]
    except OSError as error:
        raise DatasetError(f"{file}: can't be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DatasetError(f"{file}: must hold case names, one a line, or be a sweep's split.json") from None
    if not wanted:
        raise DatasetError(f"{file}: names no {part or ''} case".replace("  ", " "))
    if missing := [name for name in wanted if name not in set(known)]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DatasetError(f"{file}: names {missing[0]}{more}, which {data.source} has not")
    return list(dict.fromkeys(wanted))
