"""In which layout a data set lies, and the data set as the layout's reader gives it.

the Medical Segmentation Decathlon's    a folder with dataset.json    `decathlon`
nnU-Net's raw one                       a folder with dataset.json    `nnunet_raw`
a table of the user's own               a CSV file                    `case_table`
"""

from pathlib import Path

from trainables.case_table import TABLE_SUFFIXES, images_in_table, read_case_table
from trainables.dataset import Dataset, ImageFiles
from trainables.decathlon import read_decathlon
from trainables.errors import DatasetError
from trainables.manifest import MANIFEST, read_manifest
from trainables.nnunet_raw import is_nnunet_raw, read_nnunet_raw
from trainables.problems import is_file, is_folder

SHOWN_DATASETS = 5


def read_dataset(place: Path) -> Dataset:
    """The data set in the folder `place`, or that the table `place` lists.

    Every file that is listed is there; what it holds was not looked at. Raises DatasetError, naming the file, the key
    or line, the rule and the value.
    """
    place = Path(place)
    if is_table(place):
        return read_case_table(place.absolute())
    if place.name == MANIFEST and is_file(place):
        place = place.parent
    if not is_folder(place):
        raise DatasetError(
            f"{place}: {'no data set' if is_file(place) else 'no such folder or file'}; give the folder that holds "
            f"{MANIFEST}, or a CSV file that lists cases ({' or '.join(TABLE_SUFFIXES)})"
        )
    root = place.resolve()
    if not (root / MANIFEST).exists() and (inner := _datasets_in(root)):
        more = f", or one of {len(inner) - SHOWN_DATASETS} more" if len(inner) > SHOWN_DATASETS else ""
        raise DatasetError(
            f"{root}: has no {MANIFEST}; did you mean {' or '.join(map(str, inner[:SHOWN_DATASETS]))}{more}?"
        )
    content = read_manifest(root / MANIFEST)
    return read_nnunet_raw(root, content) if is_nnunet_raw(content) else read_decathlon(root, content)


def _datasets_in(folder: Path) -> list[Path]:
    """The data sets that lie side by side in it, as nnU-Net has them in `nnUNet_raw`."""
    try:
        return sorted(inner for inner in folder.iterdir() if is_file(inner / MANIFEST))
    except OSError:
        return []


def is_dataset(place: Path) -> bool:
    """Whether `place` is meant as a data set, not as an image or a folder of images."""
    return is_table(place) or place.name == MANIFEST or is_file(place / MANIFEST)


def listed_images(place: Path) -> tuple[tuple[str, ...], list[ImageFiles]]:
    """The names of the channels, and the images that a data set lists for training; a table's need no labels.

    Raises DatasetError as `read_dataset` does.
    """
    if is_table(place):
        return images_in_table(place.absolute())
    dataset = read_dataset(place)
    return dataset.modalities, [case.image for case in dataset.cases]


def is_table(place: Path) -> bool:
    """Whether `place` is named as a table of cases is."""
    return place.name.endswith(TABLE_SUFFIXES) and not is_folder(place)
