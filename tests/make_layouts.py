"""Lays a data set in the Decathlon's layout once more, as nnU-Net's raw layout and as a table of cases, for tests."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from trainables.dataset import Dataset
from trainables.layouts import read_dataset


def write_nnunet(source: Path, folder: Path, *, manifest: Mapping[str, Any] | None = None) -> Path:
    """`manifest` overrides keys of dataset.json, None leaves one out. Returns the folder."""
    dataset = read_dataset(source)
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for case in dataset.cases:
        for channel, file in enumerate(_channels(dataset, case.image.files[0], folder / "imagesTr" / case.name)):
            file.rename(folder / "imagesTr" / f"{case.name}_{channel:04d}.nii.gz")
        shutil.copyfile(case.label, folder / "labelsTr" / f"{case.name}.nii.gz")
    content = {
        "channel_names": {str(channel): name for channel, name in enumerate(dataset.modalities)},
        "labels": {name: value for value, name in dataset.labels.items()},
        "numTraining": len(dataset.cases),
        "file_ending": ".nii.gz",
        **(manifest or {}),
    }
    (folder / "dataset.json").write_text(
        json.dumps({key: value for key, value in content.items() if value is not None})
    )
    return folder


def write_table(source: Path, folder: Path, *, groups: Mapping[str, str] | None = None) -> Path:
    """A file for each channel, beside `cases.csv`, which is returned; `groups` names the group of each case."""
    dataset = read_dataset(source)
    folder.mkdir()
    header = ["case", *(f"image_{name}" for name in dataset.modalities), "label", *(["group"] if groups else [])]
    lines = [header]
    for case in dataset.cases:
        images = _channels(dataset, case.image.files[0], folder / case.name)
        label = folder / f"{case.name}_label.nii.gz"
        shutil.copyfile(case.label, label)
        group = [groups[case.name]] if groups else []
        lines.append([case.name, *(file.name for file in images), label.name, *group])
    table = folder / "cases.csv"
    table.write_text("".join(",".join(line) + "\n" for line in lines))
    return table


def _channels(dataset: Dataset, image: Path, stem: Path) -> list[Path]:
    """A file for each channel of the file `image`, which begin with `stem`."""
    count = len(dataset.modalities)
    files = [stem.with_name(f"{stem.name}-{channel}.nii.gz") for channel in range(count)]
    if count == 1:
        shutil.copyfile(image, files[0])
        return files
    whole: Any = nib.load(image)
    for channel, file in enumerate(files):
        nib.save(nib.Nifti1Image(np.asarray(whole.dataobj)[..., channel], whole.affine), file)
    return files
