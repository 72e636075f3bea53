"""Images that no label should be made of, or only with a warning."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from make_data import blob_case, write_dataset
from make_model import make_model

from trainables.dataset import ImageFiles
from trainables.errors import DatasetError, SettingError
from trainables.fingerprint import take_fingerprint
from trainables.grid import Grid
from trainables.image_checks import check_image, check_size
from trainables.intensity_range import IntensityRange, intensity_ranges
from trainables.layouts import read_dataset
from trainables.normalisation import ChannelNormalisation
from trainables.volume_file import read_image

TURNED = np.diag([-1.0, 1, 1, 1])
CT = ChannelNormalisation(kind="ct", low=-20, high=180, mean=90, std=40)
SCANS = IntensityRange(lowest=(-1024, -1000), highest=(900, 3000), foreground=(-20, 180))
MRIS = IntensityRange(lowest=(0, 3), highest=(180, 4000), foreground=(60, 700))


def notes(
    folder: Path, image: np.ndarray, *, sform: Any = None, qform: Any = None, model: Any = None, codes: Any = (1, 1)
) -> list[str]:
    """Of an image with these affines, RAS by default."""
    file = nib.Nifti1Image(image, np.eye(4))
    file.set_sform(np.eye(4) if sform is None else sform, code=codes[0])
    file.set_qform(np.eye(4) if qform is None else qform, code=codes[1])
    path = folder / "image.nii.gz"
    nib.save(file, path)
    return check_image(ImageFiles.of(path), read_image(path)[0], [model or make_model()])


def problem(folder: Path, image: np.ndarray, **how: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        notes(folder, image, **how)
    return str(caught.value).removeprefix(f"{folder / 'image.nii.gz'}: ")


def blob() -> np.ndarray:
    return blob_case(1)[0]


def test_an_image_as_it_should_be(tmp_path: Path) -> None:
    assert notes(tmp_path, blob()) == []


def test_other_channels(tmp_path: Path) -> None:
    series = np.repeat(blob()[..., None], 5, axis=3)
    assert problem(tmp_path, series) == (
        "has 5 channels, the model was trained on 1 (MRI); of a time series give one volume"
    )
    two = make_model(channels=2)
    assert problem(tmp_path, blob(), model=two) == "has 1 channels, the model was trained on 2 (MRI0, MRI1)"


def test_a_plane(tmp_path: Path) -> None:
    assert problem(tmp_path, blob()[:, :, :1]) == "20 x 24 x 1 voxels are a plane, the model labels volumes"
    with pytest.raises(DatasetError, match="shape 20 x 24; an image has 3 dimensions, or 4 with its channels last"):
        notes(tmp_path, blob()[:, :, 0])


@pytest.mark.parametrize("value", [0, 7.5])
def test_nothing_to_see(tmp_path: Path, value: float) -> None:
    assert problem(tmp_path, np.full((8, 8, 8), value, np.float32)) == (
        f"every voxel is {value:g}; there is nothing to label"
    )


def test_one_channel_of_several_with_nothing_to_see(tmp_path: Path) -> None:
    image = np.stack([blob(), np.zeros_like(blob())], axis=-1)
    assert notes(tmp_path, image, model=make_model(channels=2)) == ["its MRI1 is the same in every voxel"]


def test_two_affines_that_disagree_where_it_matters(tmp_path: Path) -> None:
    assert problem(tmp_path, blob(), qform=TURNED) == (
        "its sform says RAS with 1 x 1 x 1 mm, its qform LAS with 1 x 1 x 1 mm; make them agree, or set the code of "
        "the wrong one to 0"
    )
    sizes = np.diag([1.0, 1, 3, 1])
    # nibabel writes the voxel sizes of the one that it was given last
    assert problem(tmp_path, blob(), sform=sizes).startswith("its sform says RAS with 1 x 1 x 3 mm, its qform RAS")
    moved, tilted = np.eye(4), np.eye(4)
    moved[:3, 3] = 40
    tilted[:3, :3] = nib.eulerangles.euler2mat(z=0.1)
    assert notes(tmp_path, blob(), qform=moved) == notes(tmp_path, blob(), qform=tilted) == []
    assert notes(tmp_path, blob(), qform=TURNED, codes=(1, 0)) == []


def test_an_image_that_does_not_say_how_it_lies(tmp_path: Path) -> None:
    assert notes(tmp_path, blob(), codes=(0, 0)) == [
        "says nothing of how it lies (the codes of sform and qform are 0): taken for LAS"
    ]


@pytest.mark.parametrize(
    ("known", "low", "high", "how", "said"),
    [
        (SCANS, -1024, 1500, CT, None),
        (SCANS, -3024, 5000, CT, None),  # padding, metal: clipped
        (SCANS, 0, 1, CT, "goes down to -1000 or lower"),
        (SCANS, -1, 1, CT, "goes down to -1000 or lower"),
        (SCANS, 0, 4095, CT, "goes from 0 to 4095; every image of the training data goes down to -1000 or lower"),
        (SCANS, -1000, -500, CT, "goes from -1000 to -500; what is labelled in the training data lies at -20 to 180"),
        (MRIS, 0, 400, ChannelNormalisation(kind="none"), None),
        (MRIS, 0, 1, ChannelNormalisation(kind="none"), "what is labelled in the training data lies at 60 to 700"),
        (MRIS, 0, 9000, None, None),
        (MRIS, -20, 900, None, None),  # what resampling leaves
        (MRIS, -2.1, 6.4, None, "goes from -2.1 to 6.4; no image of the training data goes below 0"),
        (MRIS, 0, 1, None, "goes from 0 to 1; the images of the training data span 177 to 4000"),
        (MRIS, 0, 1e6, None, "goes from 0 to 1e+06; the images of the training data span 177 to 4000"),
    ],
)
def test_intensities_beside_those_of_the_training(
    tmp_path: Path, known: IntensityRange, low: float, high: float, how: ChannelNormalisation | None, said: str | None
) -> None:
    image = blob().astype(np.float64)
    image = low + (image - image.min()) / (image.max() - image.min()) * (high - low)
    found = notes(tmp_path, image.astype(np.float32), model=make_model(normalisation=how, intensities=(known,)))
    if said is None:
        assert found == []
    else:
        (note,) = found
        assert note.startswith("its MRI goes from ")
        assert said in note
        assert note.endswith(": normalised already, or of another kind?")


def test_voxel_sizes_that_make_a_small_image_huge() -> None:
    def of_spacing(mm: float, z: float = 4) -> list[str]:
        grid = Grid.of((10, 10, 10), np.diag([mm, mm, z, 1]), target_spacing=(1, 1, 1))
        return check_size(np.zeros((1, *grid.shape), np.float32), grid)

    assert of_spacing(4) == []
    assert of_spacing(40) == [
        "has voxels of 40 x 40 x 4 mm, and the model wants 1 x 1 x 1 mm: 6,400 times as many; is its header right?"
    ]
    (note,) = of_spacing(0.001, 0.001)  # as if they were in metres
    assert "wants 1 x 1 x 1 mm: one for 1,000 of the file's; is its header right?" in note


def test_a_data_sets_own_images_are_not_odd(tmp_path: Path) -> None:
    dataset = read_dataset(write_dataset(tmp_path / "Blobs", cases=4))
    ranges = intensity_ranges(take_fingerprint(dataset))
    for case in dataset.cases:
        image = read_image(case.image.files[0])[0]
        assert ranges[0].lowest[0] <= image.min() <= ranges[0].lowest[1]
        for kind in ("zscore", "none"):
            model = make_model(normalisation=ChannelNormalisation(kind=kind), intensities=ranges)
            assert check_image(case.image, image, [model]) == []


def test_ranges_come_back_from_plain_types() -> None:
    assert IntensityRange.from_mapping(SCANS.to_mapping()) == SCANS
    for wrong in ({}, SCANS.to_mapping() | {"lowest": ["a", 1]}, SCANS.to_mapping() | {"lowest": [2, 1]}):
        with pytest.raises(SettingError, match="intensities: "):
            IntensityRange.from_mapping(wrong)
