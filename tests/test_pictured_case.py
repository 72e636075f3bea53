"""Pictures of cases show what the validation scored, where it is most wrong."""

import io
from pathlib import Path

import numpy as np
import pytest
from make_data import write_dataset
from PIL import Image

from trainables.dataset import Dataset
from trainables.errors import DatasetError
from trainables.fingerprint import take_fingerprint
from trainables.layouts import read_dataset
from trainables.model_file import Model, load_model
from trainables.pictured_case import MARGIN, _around, _most_wrong, picture_cases, prepared_cases, read_cases
from trainables.preprocessing import plan_preprocessing
from trainables.protocol import Budget, Evaluation
from trainables.segmentation import SegmentationRun
from trainables.targets import plan_targets
from trainables.volumes import Volumes, prepare_volumes

SETTINGS = {"width": 4, "levels": 2, "patch_size": 16, "batch_size": 2, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Voxels of 1 x 1 x 1.2 mm, the first axis to the left."""
    folder = tmp_path_factory.mktemp("pictured") / "Blobs"
    return read_dataset(write_dataset(folder, cases=4, affine=np.diag([-1.0, 1.0, 1.2, 1.0])))


@pytest.fixture(scope="module")
def trained(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Volumes, Evaluation]:
    """Two cases resampled to 1.1 mm, validated after a few steps: far from right, so that no two cases score alike."""
    folder = tmp_path_factory.mktemp("trained")
    found = take_fingerprint(dataset)
    plan = plan_preprocessing(found, dataset.modalities, spacing=[1.1, 1.1, 1.1])
    volumes = prepare_volumes(dataset, plan_targets(dataset.labels, None), plan, found, cache=folder)
    names = volumes.names
    data = {"volumes": str(volumes.folder), "train": names[:2], "validation": names[2:], "threads": 1}
    run = SegmentationRun(SETTINGS, data=data, budget=Budget(unit="steps", maximum=20), seed=0, device="cpu")
    evaluation = run.advance(20)
    run.save_model(folder / "model.pt")
    return load_model(folder / "model.pt"), volumes, evaluation


def test_dice_is_the_validations_and_files_give_the_same_pictures(
    trained: tuple[Model, Volumes, Evaluation], dataset: Dataset
) -> None:
    model, volumes, evaluation = trained
    names = list(evaluation.cases)
    drawn = list(picture_cases(model, prepared_cases(volumes, names), device="cpu"))
    assert {case.name: case.dice for case in drawn} == evaluation.cases
    assert len({str(case.dice) for case in drawn}) == 2
    for case in drawn:
        with Image.open(io.BytesIO(case.picture)) as picture:
            assert picture.format == "JPEG"
    assert list(picture_cases(model, read_cases(dataset, model, names), device="cpu")) == drawn


def test_a_case_that_is_not_there(trained: tuple[Model, Volumes, Evaluation], dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match=r"has no case 'case_009'"):
        next(read_cases(dataset, trained[0], ["case_009"]))


def test_data_of_other_channels(trained: tuple[Model, Volumes, Evaluation], tmp_path: Path) -> None:
    other = read_dataset(write_dataset(tmp_path / "Two", cases=1, channels=2))
    with pytest.raises(DatasetError, match=r"has 2 channels, the model 1"):
        next(read_cases(other, trained[0], ["case_001"]))


def test_the_planes_are_where_most_is_wrong() -> None:
    label = np.zeros((30, 30, 30), np.uint8)
    label[5:15, 5:15, 5:15] = 1
    found = label.copy()
    assert _most_wrong(label, found) is None
    found[20:25, 18, 26] = 2  # a line far from the label
    assert _most_wrong(label, found) == [22, 18, 26]
    found[7:9, 7:15, 7:15] = 0  # and a larger part of the label that is not found
    assert _most_wrong(label, found) == [8, 11, 11]


def test_what_is_shown_reaches_around_all_that_is_labelled_or_found() -> None:
    nothing = np.zeros((10, 20, 60), np.uint8)
    assert nothing[_around(nothing, [3, 3, 3])].shape == nothing.shape
    labelled = nothing.copy()
    labelled[4, 1, 30] = labelled[5, 3, 40] = 1
    assert _around(labelled, [3, 3, 15]) == (slice(1, 9), slice(0, 7), slice(15, 56))
    assert MARGIN == 15
