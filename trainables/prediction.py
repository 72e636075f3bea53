"""Labels files: a batch of images, each into a label file of its own, whatever becomes of the others."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from trainables.errors import DatasetError, TrainableError
from trainables.image_files import label_files
from trainables.label_file import write_label
from trainables.memory_errors import is_out_of_memory
from trainables.model_file import Model
from trainables.predictor import Predictor, Prepared
from trainables.volume_file import read_image

Progress = Callable[[int, int], None]
"""Told how many files or cases are done, and how many there are."""


@dataclass(frozen=True, kw_only=True)
class PredictionOutcome:
    """What became of a batch of images."""

    written: tuple[Path, ...]
    """The labels' files."""

    failed: Mapping[Path, str]
    """Of each image that gave none, what was wrong with it."""

    interrupted: bool = False
    """Whether Ctrl-C came before all were done."""


def predict_files(
    models: Sequence[Model],
    images: Sequence[Path],
    folder: Path,
    *,
    device: str | None = None,
    flips: str = "",
    overwrite: bool = False,
    progress: Progress = lambda done, of: None,
) -> PredictionOutcome:
    """Label `images`, each into `folder` under its own name with `.nii.gz`: integers in the image's grid and header.

    Args:
        models: one, or an ensemble (`load_models`).
        device: as in `choose_device`.
        flips: as in `Predictor`.
        overwrite: whether labels that are there already are replaced.

    An image that fails holds up no other. What an interruption finds written stays, and each file is whole or not
    there. Raises TrainableError before anything is computed if a label exists already, would take an image's place, or
    can't be written there, or if the device is not there.
    """
    outputs = label_files(images, folder, overwrite=overwrite)
    predictor = Predictor(models, device=device, flips=flips)
    _make_folder(folder)
    written: list[Path] = []
    failed: dict[Path, str] = {}
    try:
        for image, prepared in _read_ahead(predictor, list(outputs)):
            try:
                write_label(predictor.segment(prepared.result()), like=image, path=outputs[image])
                written.append(outputs[image])
            except Exception as error:
                failed[image] = _problem(error, image, outputs[image])
            del prepared  # a large image is gone before the next one is waited for
            progress(len(written) + len(failed), len(outputs))
    except KeyboardInterrupt:
        return PredictionOutcome(written=tuple(written), failed=failed, interrupted=True)
    return PredictionOutcome(written=tuple(written), failed=failed)


def read_for(predictor: Predictor, image: Path) -> Prepared:
    """The NIfTI file `image`, ready for the networks of `predictor`. Raises DatasetError where it does not fit them."""
    array, affine = read_image(image)
    modalities = predictor.modalities
    if len(array) != len(modalities):
        raise DatasetError(
            f"{image}: has {len(array)} channels, the model was trained on {len(modalities)} ({', '.join(modalities)})"
        )
    return predictor.prepare(array, affine)


def _read_ahead(predictor: Predictor, images: Sequence[Path]) -> Iterator[tuple[Path, Future[Prepared]]]:
    """Each image with what `read_for` makes of it; the next one is read while the caller's device works on this one."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(read_for, predictor, images[0])
        for image, following in zip(images, [*images[1:], None], strict=True):
            this = coming
            if following is not None:
                coming = reader.submit(read_for, predictor, following)
            yield image, this
            del this


def _problem(error: Exception, image: Path, output: Path) -> str:
    """What is wrong with `image`. Raises `error` again where that is our own mistake."""
    if isinstance(error, TrainableError):
        return str(error).removeprefix(f"{image}: ")
    if is_out_of_memory(error):
        return "does not fit into memory"
    if isinstance(error, OSError):
        return f"its label {output} can't be written: {error.strerror or error}"
    raise error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainableError(f"{folder}: can't be made a folder: {error.strerror}; choose another output") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise TrainableError(f"{folder}: is not writable; nothing was computed, choose another output")
