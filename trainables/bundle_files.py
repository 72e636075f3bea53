"""Which files a MONAI Bundle reads and writes, and how: voxtune's rules in the form of MONAI's readers and writers.

Copied into every bundle (`tuner.bundle_scripts`), where it stands without voxtune.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import ImageReader, NibabelWriter
from monai.utils import ensure_tuple

from trainables.case_files import read_channels
from trainables.dataset import SUFFIXES, ImageFiles, stem
from trainables.errors import DatasetError
from trainables.image_files import find_images
from trainables.label_file import write_label
from trainables.layouts import read_dataset


def images_in(folder: str, modalities: Sequence[str]) -> list[list[str]]:
    """The files of each image that `voxtune predict` would label for this folder or table, by a model of `modalities`.

    Raises DatasetError where there is none.
    """
    return [[str(file) for file in image.files] for image in find_images([Path(folder)], modalities=modalities)]


def cases_in(folder: str, names: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The image's files and the label of the cases `names` (None: all) that a data set lists for training.

    Raises DatasetError for a name that is not listed, and where the data set breaks a rule.
    """
    dataset = read_dataset(Path(folder))
    known = {
        case.name: {"image": [str(file) for file in case.image.files], "label": str(case.label)}
        for case in dataset.cases
    }
    if unknown := [name for name in names or () if name not in known]:
        raise DatasetError(f"{folder}: has no case {unknown[0]!r}")
    return [known[name] for name in (known if names is None else names)]


class NiftiReader(ImageReader):
    """Reads as `read_channels` does: float32, channels first, the affine as the file has it.

    MONAI's own reader takes NaN, truncated files and flat affines as they come, and changes an affine that disagrees
    with the header's voxel sizes.
    """

    def verify_suffix(self, filename: Any) -> bool:
        return all(str(name).endswith(SUFFIXES) for name in ensure_tuple(filename))

    def read(self, data: Any, **_: Any) -> tuple[np.ndarray, np.ndarray]:
        """The file of an image, or the files of its channels. Raises DatasetError."""
        files = tuple(map(Path, ensure_tuple(data)))
        return read_channels(ImageFiles(stem(files[0]), files))

    def get_data(self, img: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, dict[str, Any]]:
        array, affine = img
        return array, {
            "affine": affine.copy(),
            "original_affine": affine.copy(),
            "spatial_shape": np.array(array.shape[1:]),
            "space": "RAS",
            "original_channel_dim": 0,
        }


class LabelWriter(NibabelWriter):
    """Writes a label into the grid of its image, with the image's own header; MONAI's writes a new header."""

    def set_metadata(self, meta_dict: Mapping[str, Any] | None, resample: bool = True, **options: Any) -> None:
        assert meta_dict is not None
        self._like = Path(meta_dict["filename_or_obj"])
        self._shape = tuple(int(size) for size in meta_dict["spatial_shape"])

    def write(self, filename: Any, verbose: bool = False, **_: Any) -> None:
        label = np.asarray(self.data_obj, self.output_dtype).reshape(self._shape)  # axes of one voxel were dropped
        write_label(label, like=self._like, path=Path(filename))
