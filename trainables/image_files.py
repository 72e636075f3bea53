"""Which images a user means, and where their labels go."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from trainables.decathlon import MANIFEST, read_dataset
from trainables.errors import DatasetError, TrainableError

SUFFIXES = (".nii", ".nii.gz")


def find_images(inputs: Sequence[Path]) -> list[Path]:
    """The images that `inputs` name, each once, in their order.

    A file is itself. A folder is the NIfTI files in it, by name, folders in it left out; with a dataset.json it is the
    images that this lists for training, and those in `imagesTs`. Hidden files, as macOS archives leave them, are none.
    Raises DatasetError where nothing is there.
    """
    found: dict[Path, Path] = {}
    for given in inputs:
        for image in _images_of(given):
            found.setdefault(image.resolve(), image)
    return list(found.values())


def label_files(images: Sequence[Path], folder: Path, *, overwrite: bool = False) -> dict[Path, Path]:
    """The label file in `folder` of each image: it has the image's name, with `.nii.gz`.

    Raises TrainableError where two images have the same name, a label exists already (unless `overwrite`), or `folder`
    is the images' own, where a label would take the place of its image or be taken for one.
    """
    outputs: dict[Path, Path] = {}
    for image in images:
        if image.parent.resolve() == folder.resolve():
            raise TrainableError(
                f"{folder}: is the folder of {image.name}, and labels have their images' names; nothing was computed, "
                "choose another output"
            )
        output = folder / f"{_stem(image)}.nii.gz"
        if output in outputs:
            raise TrainableError(f"{image}: its label would overwrite that of {outputs[output]}; predict them apart")
        outputs[output] = image
    existing = [output for output in outputs if output.exists()]
    if directories := [output for output in existing if output.is_dir()]:
        raise TrainableError(f"{directories[0]}: is a folder; nothing was computed, choose another output")
    if existing and not overwrite:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise TrainableError(
            f"{existing[0]}: exists already{more}; nothing was computed, overwrite or choose another output"
        )
    return {image: output for output, image in outputs.items()}


def _images_of(given: Path) -> Iterable[Path]:
    if not given.is_dir():
        if not given.is_file():
            raise DatasetError(f"{given}: no such file; nothing was computed")
        return [given]
    if (given / MANIFEST).exists():
        listed = [case.image for case in read_dataset(given).cases]
        return [*listed, *(_nifti_files(given / "imagesTs") if (given / "imagesTs").is_dir() else [])]
    if images := _nifti_files(given):
        return images
    raise DatasetError(f"{given}: holds no NIfTI file (.nii or .nii.gz); nothing was computed")


def _nifti_files(folder: Path) -> list[Path]:
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise DatasetError(f"{folder}: can't be read: {error.strerror}; nothing was computed") from None
    return [file for file in files if file.name.endswith(SUFFIXES) and not file.name.startswith(".") and file.is_file()]


def _stem(image: Path) -> str:
    return image.name.removesuffix(".gz").removesuffix(".nii")
