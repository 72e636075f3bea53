"""Writes labels as NIfTI files that lie where their images lie."""

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from trainables.volume_file import read_header
from trainables.whole_file import replace_file


def write_label(label: np.ndarray, *, like: Path, path: Path) -> None:
    """Write `label` (X, Y, Z) with the header of the image `like`: its sform, qform, units and description.

    Raises DatasetError where the image can't be read, OSError where the label can't be written. Whatever happens,
    `path` is whole or as it was.
    """
    header: Any = read_header(like)
    affine = header.get_best_affine()
    header.set_data_shape(label.shape)
    header.set_data_dtype(label.dtype)
    header["cal_min"] = header["cal_max"] = 0  # the image's brightness window would hide the labels
    kind = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    content = kind(label, affine, header).to_bytes()
    if path.name.endswith(".gz"):
        content = gzip.compress(content, compresslevel=1, mtime=0)  # the same label is the same bytes
    replace_file(path, lambda temporary: temporary.write_bytes(content))
