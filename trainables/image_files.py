"""Which images a user means, and where their labels go."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from trainables.dataset import SUFFIXES, ImageFiles
from trainables.errors import DatasetError, TrainableError
from trainables.image_rules import check_order
from trainables.layouts import is_dataset, listed_images
from trainables.manifest import MANIFEST
from trainables.volume_file import header_of

_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})(\.nii|\.nii\.gz)")
"""How nnU-Net names a channel's file."""


def find_images(inputs: Sequence[Path], *, modalities: Sequence[str]) -> list[ImageFiles]:
    """The images that `inputs` name, each once, in their order.

    A file is itself. A folder is the NIfTI files in it, by name, folders in it left out; with a dataset.json it, and
    the dataset.json itself, is the images that this lists for training, and those in `imagesTs`. A CSV file is the
    images that it lists. Hidden files, as macOS archives leave them, are none.

    Where all files of a folder, or all that are given one after another, are named as nnU-Net names channels
    (`CASE_0000.nii.gz` and so on, as many as `modalities`), those of one case are one image, called `CASE`.

    Raises DatasetError where nothing is there, such an image lacks a channel, or a data set has its channels in another
    order than `modalities`, the names that the model was trained on.
    """
    found: dict[tuple[Path, ...], ImageFiles] = {}
    loose: list[Path] = []
    for given in inputs:
        if given.is_file() and not is_dataset(given):
            loose.append(given)
            continue
        for image in (*_joined(loose, len(modalities)), *_images_of(given, modalities)):
            found.setdefault(_real(image), image)
        loose = []
    for image in _joined(loose, len(modalities)):
        found.setdefault(_real(image), image)
    return list(found.values())


def label_files(images: Sequence[ImageFiles], folder: Path, *, overwrite: bool = False) -> dict[ImageFiles, Path]:
    """The label file in `folder` of each image: it has the image's name, with `.nii.gz`.

    Raises TrainableError where two images have the same name, a label exists already (unless `overwrite`), or `folder`
    is the images' own, where a label would take the place of its image or be taken for one.
    """
    outputs: dict[Path, ImageFiles] = {}
    for image in images:
        if any(file.parent.resolve() == folder.resolve() for file in image.files):
            raise TrainableError(
                f"{folder}: is the folder of {image.files[0].name}, and labels have their images' names; nothing was "
                "computed, choose another output"
            )
        output = folder / f"{image.name}.nii.gz"
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


def _images_of(given: Path, modalities: Sequence[str]) -> Iterable[ImageFiles]:
    if not given.exists():
        raise DatasetError(f"{given}: no such file; nothing was computed")
    if is_dataset(given):
        names, images = listed_images(given)
        check_order(given, names, modalities)
        test = (given.parent if given.name == MANIFEST else given) / "imagesTs"
        return [*images, *(_joined(_nifti_files(test), len(modalities)) if test.is_dir() else [])]
    if files := _nifti_files(given):
        return _joined(files, len(modalities))
    raise DatasetError(f"{given}: holds no NIfTI file (.nii or .nii.gz); nothing was computed")


def _nifti_files(folder: Path) -> list[Path]:
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise DatasetError(f"{folder}: can't be read: {error.strerror}; nothing was computed") from None
    return [file for file in files if file.name.endswith(SUFFIXES) and not file.name.startswith(".") and file.is_file()]


def _joined(files: Sequence[Path], channels: int) -> list[ImageFiles]:
    """Each file an image, or, where all names say so, those of one case together."""
    named = [_CHANNEL.fullmatch(file.name) for file in files]
    cases: dict[tuple[Path, str], dict[int, Path]] = {}
    for file, name in zip(files, named, strict=True):
        if name is None:
            return [ImageFiles.of(file) for file in files]
        cases.setdefault((file.parent, name["case"]), {})[int(name["channel"])] = file
    # Numbers of another kind, as those of cases whose files hold all channels.
    if any(max(found) >= channels for found in cases.values()) or (files and _holds_channels(files[0])):
        return [ImageFiles.of(file) for file in files]
    for (folder, case), found in cases.items():
        if missing := [channel for channel in range(channels) if channel not in found]:
            raise DatasetError(
                f"{folder}: has no {case}_{missing[0]:04d}, channel {missing[0]} of the image {case}, and the model "
                f"takes {channels}; nothing was computed"
            )
    return [ImageFiles(case, _in_order(found)) for (_, case), found in cases.items()]


def _holds_channels(file: Path) -> bool:
    header = header_of(file)
    return header is not None and len(header.get_data_shape()) > 3 and header.get_data_shape()[3] > 1


def _in_order(found: Mapping[int, Path]) -> tuple[Path, ...]:
    return tuple(found[channel] for channel in sorted(found))


def _real(image: ImageFiles) -> tuple[Path, ...]:
    return tuple(file.resolve() for file in image.files)
