"""Uses a model: labels images that were never seen, and scores it on cases whose labels are known."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from trainables.decathlon import Dataset
from trainables.dice import dice_score
from trainables.errors import DatasetError, PredictionError, TrainableError
from trainables.grid import restore_label
from trainables.memory_errors import is_out_of_memory
from trainables.model_file import Model
from trainables.preprocessing import preprocess_image
from trainables.segmenter import Segmenter
from trainables.volume_file import read_case, read_image
from trainables.volumes import compact

Progress = Callable[[int, int], None]
"""Told how many files or cases are done, and how many there are."""


@dataclass(frozen=True, kw_only=True)
class PredictionOutcome:
    """What became of a batch of images."""

    written: tuple[Path, ...]
    """The labels' files."""

    failed: Mapping[Path, str]
    """Of each image that gave none, what was wrong with it."""


@dataclass(frozen=True, kw_only=True)
class CaseScore:
    """How well one class or region of one case was found."""

    case: str
    target: str
    dice: float
    """0 to 1, in the voxels of the case's own file; `trainables.dice` says what an absent class scores."""


class Predictor:
    """A model on a device, ready to label images."""

    def __init__(self, model: Model, device: str | None = None) -> None:
        """`device` as in `choose_device`: by default the GPU where there is one. Raises SettingError."""
        self.model = model
        self._segment = Segmenter(model, device)

    def label(self, image: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """The label (X, Y, Z), with the values of the training data's files, of `image` (C, X, Y, Z) with `affine`."""
        preprocessed, grid = preprocess_image(image, affine, self.model.plan)
        encoded = self._segment(compact(preprocessed))  # as training and validation see their volumes
        return self.model.targets.decode(restore_label(encoded, grid))

    def label_file(self, image: Path, output: Path) -> None:
        """Label the NIfTI file `image` and write `output`: integers in the image's own grid, affine and header.

        Raises DatasetError where the image can't be read or has other channels than the model, and OSError where the
        output can't be written. Whatever happens, `output` is whole or not there.
        """
        array, affine = read_image(image)
        modalities = self.model.modalities
        if len(array) != len(modalities):
            raise DatasetError(
                f"{image}: has {len(array)} channels, the model was trained on {len(modalities)} "
                f"({', '.join(modalities)})"
            )
        _write_label(self.label(array, affine), like=image, path=output)


def predict_file(model: Model, image: Path, output: Path, *, device: str | None = None) -> Path:
    """Label one image, as `Predictor.label_file` does. Raises TrainableError if `output` exists already."""
    _refuse_existing([output])
    predictor = Predictor(model, device)
    _make_folder(output.parent)
    predictor.label_file(image, output)
    return output


def predict_files(
    model: Model, images: Sequence[Path], folder: Path, *, device: str | None = None, progress: Progress | None = None
) -> PredictionOutcome:
    """Label `images`, each into `folder` under its own name with `.nii.gz`. An image that fails holds up no other.

    Raises TrainableError before anything is computed if an image is missing, a label exists already, two images have
    the same name, or the device is not there.
    """
    outputs: dict[Path, Path] = {}
    for image in images:
        if not image.is_file():
            what = "is a folder; name the images in it" if image.is_dir() else "no such file"
            raise DatasetError(f"{image}: {what}; nothing was computed")
        output = folder / f"{image.name.removesuffix('.gz').removesuffix('.nii')}.nii.gz"
        if output in outputs:
            raise TrainableError(f"{image}: its label would overwrite that of {outputs[output]}; predict them apart")
        outputs[output] = image
    _refuse_existing(outputs)
    predictor = Predictor(model, device)
    _make_folder(folder)
    written, failed = [], {}
    for done, (output, image) in enumerate(outputs.items(), start=1):
        try:
            predictor.label_file(image, output)
            written.append(output)
        except TrainableError as error:
            failed[image] = str(error).removeprefix(f"{image}: ")
        except Exception as error:
            if is_out_of_memory(error):
                failed[image] = "does not fit into memory"
            elif isinstance(error, OSError):
                failed[image] = f"its label {output} can't be written: {error.strerror}"
            else:
                raise
        if progress is not None:
            progress(done, len(outputs))
    return PredictionOutcome(written=tuple(written), failed=failed)


def evaluate_dataset(
    model: Model,
    dataset: Dataset,
    names: Iterable[str] | None = None,
    *,
    device: str | None = None,
    progress: Progress | None = None,
) -> list[CaseScore]:
    """Dice of `model` on the cases `names` (default: all) of `dataset`, one row a case and target, in that order.

    What is scored is what `predict_files` would write, voxel by voxel of the case's own file. Raises DatasetError for
    an unknown case, a file that breaks a rule, other channels than the model's, or labels that the data set lacks;
    PredictionError where memory does not hold a case.
    """
    known = {case.name: case for case in dataset.cases}
    names = list(known if names is None else names)
    if unknown := [name for name in names if name not in known]:
        raise DatasetError(f"{dataset.root}: has no case {unknown[0]!r}")
    if len(dataset.modalities) != len(model.modalities):
        raise DatasetError(
            f"{dataset.root}: declares {len(dataset.modalities)} channels ({', '.join(dataset.modalities)}), "
            f"the model was trained on {len(model.modalities)} ({', '.join(model.modalities)})"
        )
    targets = model.targets
    for target, values in zip(targets.names, targets.members, strict=True):
        if missing := [value for value in values if value not in dataset.labels]:
            raise DatasetError(f"{dataset.root}: declares no label {missing[0]}, which makes the model's {target}")
    predictor = Predictor(model, device)
    rows: list[CaseScore] = []
    for done, name in enumerate(names, start=1):
        try:
            case = read_case(dataset, known[name])
            predicted = predictor.label(case.image, case.affine)
        except Exception as error:
            if is_out_of_memory(error):
                raise PredictionError(f"{known[name].image}: does not fit into memory") from error
            raise
        scores = dice_score(targets.encode(predicted), targets.encode(case.label), targets)
        rows += [CaseScore(case=name, target=target, dice=dice) for target, dice in scores.items()]
        if progress is not None:
            progress(done, len(names))
    return rows


def _refuse_existing(outputs: Iterable[Path]) -> None:
    if existing := [output for output in outputs if output.exists()]:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise TrainableError(f"{existing[0]}: exists already{more}; nothing was computed, choose another output")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainableError(f"{folder}: can't be made a folder: {error.strerror}; choose another output") from None


def _write_label(label: np.ndarray, *, like: Path, path: Path) -> None:
    """Write `label` (X, Y, Z) with the header of the image `like`: its sform, qform, units and description."""
    image: Any = nib.load(like)
    header = image.header.copy()
    header.set_data_shape(label.shape)
    header.set_data_dtype(label.dtype)
    header["cal_min"] = header["cal_max"] = 0  # the image's brightness window would hide the labels
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        nib.save(type(image)(label, image.affine, header), partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
