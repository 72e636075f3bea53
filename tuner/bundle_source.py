"""What a bundle is made of: a model, and what is known of its data and its training."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainables.errors import DatasetError
from trainables.layouts import is_dataset, is_table
from trainables.manifest import MANIFEST
from trainables.model_file import Model, load_model
from tuner.best import Basis
from tuner.directory import SweepDirectory
from tuner.errors import SweepDirectoryError
from tuner.sweep_files import read_environment, read_split

_NOTES = {
    "name": ("name",),
    "description": ("description",),
    "reference": ("reference",),
    "licence": ("licence", "license"),
    "release": ("release", "relase"),  # the Decathlon's own files have it without the e
}
_LONGEST_NOTE = 2000


@dataclass(frozen=True, kw_only=True)
class DataNotes:
    """What a `dataset.json` says of the data set, each None where it says nothing."""

    name: str | None = None
    description: str | None = None
    reference: str | None = None
    licence: str | None = None
    release: str | None = None


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a sweep came to the model."""

    sweep: str
    trials: int
    """How many the search began."""

    trial: int
    """The one that proposed the configuration."""

    basis: Basis
    """Of `dice`."""

    dice: float
    """Mean validation Dice of the runs that speak for the configuration."""

    runs: Sequence[float]
    """Their single values."""

    model_dice: float
    """Validation Dice of the run whose model this is."""

    test_dice: float | None
    """Mean Dice of that run on cases that the search never saw, if there are any."""

    cases: Mapping[str, int]
    """How many cases trained, validated and tested."""


@dataclass(frozen=True, kw_only=True)
class BundleSource:
    """A model and where it comes from."""

    model: Model
    data: DataNotes
    training: Training | None = None
    """None where only the model's file was given."""


def find_source(name: str, *, runs: Path, dataset: Path | None = None) -> BundleSource:
    """The model file `name`, or the best model of the sweep `name`, a path or a name in the folder `runs`.

    `dataset`: the folder whose dataset.json tells of the data, or a table of cases; of a sweep by default the one that
    it trained on.
    Raises ModelFileError, DatasetError, StudyError, and SweepDirectoryError where `name` is neither, or has no model.
    """
    given = Path(name)
    if given.is_file():
        return BundleSource(model=load_model(given), data=read_notes(dataset) if dataset else DataNotes())
    if given.is_dir() and not SweepDirectory(given).sweep_file.is_file() and any(given.glob("*.pt")):
        raise SweepDirectoryError(
            f"{name}: a folder of models, an ensemble; a bundle holds one network: give one of its files"
        )
    if given.suffix == ".pt":
        return BundleSource(model=load_model(given), data=DataNotes())  # which says what is wrong with it
    return _of_sweep(SweepDirectory.find(name, runs), dataset)


def read_notes(place: Path) -> DataNotes:
    """What the `dataset.json` in the folder `place`, or at it, says of its data set; a table of cases has but its name.

    Raises DatasetError where it can't be read.
    """
    if is_table(place) and place.is_file():
        return DataNotes(name=place.stem)
    manifest = place if place.name == MANIFEST else place / MANIFEST
    try:
        content = json.loads(manifest.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DatasetError(f"{manifest}: can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{manifest}: not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise DatasetError(f"{manifest}: must hold a JSON object")
    return DataNotes(**{note: _first_text(content, keys) for note, keys in _NOTES.items()})


def _first_text(content: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    texts = (content.get(key) for key in keys)
    return next((text.strip()[:_LONGEST_NOTE] for text in texts if isinstance(text, str) and text.strip()), None)


def _of_sweep(directory: SweepDirectory, dataset: Path | None) -> BundleSource:
    from tuner.config import SweepConfig
    from tuner.report_best import write_best
    from tuner.results import read_results

    config = SweepConfig.read(directory.sweep_file)
    results = read_results(directory)
    best = results.best
    if best is None:
        raise SweepDirectoryError(f"sweep {directory.name}: has no best model, no trial was evaluated yet")
    _, path = write_best(directory, config, results)  # as a report does: best/ may be older than the study
    if path is None:
        raise SweepDirectoryError(
            f"sweep {directory.name}: the model of its best run, {best.run.study} {best.run.number}, is not there yet, "
            "or no more"
        )
    tested = results.case_scores(best.run, "test")
    training = Training(
        sweep=directory.name,
        trials=len(results.begun),
        trial=best.number,
        basis=best.basis,
        dice=best.score,
        runs=[run.score for run in best.runs],
        model_dice=best.run.score,
        test_dice=float(tested.mean()) if len(tested) else None,
        cases=_split(directory),
    )
    own = config.dataset.path if config.dataset else None
    place = dataset or (own if own and own.exists() and is_dataset(own) else None)
    data = read_notes(place) if place else DataNotes()
    if data.name is None and dataset is None:
        data = replace(data, name=_name_then(directory))
    return BundleSource(model=load_model(path), data=data, training=training)


def _name_then(directory: SweepDirectory) -> str | None:
    """What the data set was called when the sweep began; nnU-Net's layout has a name in the folder's alone."""
    try:
        return read_environment(directory).get("dataset", {}).get("name")
    except SweepDirectoryError:
        return None


def _split(directory: SweepDirectory) -> dict[str, int]:
    try:
        split = read_split(directory)
    except SweepDirectoryError:
        return {}
    return {part: len(split[part]) for part in ("train", "validation", "test") if split.get(part)}
