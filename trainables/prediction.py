"""Labels files: a batch of images, each into a label file of its own, whatever becomes of the others."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from trainables.case_files import read_channels
from trainables.dataset import ImageFiles
from trainables.errors import TrainableError
from trainables.image_checks import check_image, check_size
from trainables.image_files import label_files
from trainables.label_file import write_label
from trainables.memory_errors import is_out_of_memory
from trainables.model_file import Model
from trainables.predictor import Predictor, Prepared, doubtful_flips


@dataclass(frozen=True, kw_only=True)
class PredictionOutcome:
    """What became of a batch of images."""

    written: tuple[Path, ...]
    """The labels' files."""

    failed: Mapping[ImageFiles, str]
    """Of each image that gave none, what was wrong with it."""

    interrupted: bool = False
    """Whether Ctrl-C came before all were done."""


def predict_files(
    models: Sequence[Model],
    images: Sequence[ImageFiles],
    folder: Path,
    *,
    device: str | None = None,
    flips: str = "",
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, of: None,
    tell: Callable[[str], None] = lambda text: None,
) -> PredictionOutcome:
    """Label `images`, each into `folder` under its own name with `.nii.gz`: integers in the image's grid and header.

    Args:
        models: one, or an ensemble (`load_models`).
        device: as in `choose_device`.
        flips: as in `Predictor`.
        overwrite: whether labels that are there already are replaced.
        progress: told how many images are done, and how many there are.
        tell: told what makes a label doubtful: an image of other intensities, say, than those of the training.

    An image that fails holds up no other. What an interruption finds written stays, and each file is whole or not
    there. Raises TrainableError before anything is computed if a label exists already, would take an image's place, or
    can't be written there, or if the device is not there.
    """
    outputs = label_files(images, folder, overwrite=overwrite)
    predictor = Predictor(models, device=device, flips=flips)
    _make_folder(folder)
    for note in doubtful_flips(models, flips):
        tell(note)
    written: list[Path] = []
    failed: dict[ImageFiles, str] = {}
    try:
        for image, reading in _read_ahead(predictor, list(outputs)):
            try:
                prepared, notes = reading.result()
                del reading  # a large image is gone before the next one is waited for
                for note in notes:
                    tell(f"{image}: {note}")
                label = predictor.segment(prepared)
                del prepared
                write_label(label, like=image.files[0], path=outputs[image])
                written.append(outputs[image])
            except Exception as error:
                failed[image] = _problem(error, image, outputs[image])
            progress(len(written) + len(failed), len(outputs))
    except KeyboardInterrupt:
        return PredictionOutcome(written=tuple(written), failed=failed, interrupted=True)
    return PredictionOutcome(written=tuple(written), failed=failed)


def read_for(predictor: Predictor, image: ImageFiles) -> tuple[Prepared, list[str]]:
    """The files of `image`, ready for the networks of `predictor`, and sentences on what is odd about it.

    Raises DatasetError where it does not fit them, or can't be read.
    """
    array, affine = read_channels(image)
    notes = check_image(image, array, predictor.models)
    prepared = predictor.prepare(array, affine)
    return prepared, notes + [note for volume, grid in prepared.values() for note in check_size(volume, grid)]


def _read_ahead(
    predictor: Predictor, images: Sequence[ImageFiles]
) -> Iterator[tuple[ImageFiles, Future[tuple[Prepared, list[str]]]]]:
    """Each image with what `read_for` makes of it; the next one is read while the caller's device works on this one."""
    with ThreadPoolExecutor(1) as reader:
        coming = deque(reader.submit(read_for, predictor, image) for image in images[:1])
        for image, following in zip(images, [*images[1:], None], strict=False):
            if following is not None:
                coming.append(reader.submit(read_for, predictor, following))
            yield image, coming.popleft()  # and is not held here


def _problem(error: Exception, image: ImageFiles, output: Path) -> str:
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
