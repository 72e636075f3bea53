from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from make_data import blob_case, write_dataset, write_nifti
from make_layouts import write_nnunet, write_table
from scipy import ndimage

from trainables import prediction, predictor
from trainables.dataset import Dataset, ImageFiles
from trainables.errors import DatasetError, PredictionError, SettingError, TrainableError
from trainables.fingerprint import take_fingerprint
from trainables.image_files import find_images
from trainables.layouts import read_dataset
from trainables.model_file import Model, load_model
from trainables.networks import build_network
from trainables.prediction import PredictionOutcome, predict_files
from trainables.predictor import Predictor
from trainables.preprocessing import plan_preprocessing
from trainables.protocol import Budget, Evaluation
from trainables.scoring import CaseScore, evaluate_dataset
from trainables.segmentation import SegmentationRun
from trainables.targets import Targets, plan_targets
from trainables.volumes import prepare_volumes

TRAINING = {
    "network": "unet3d",
    "width": 4,
    "levels": 2,
    "patch_size": 16,
    "batch_size": 2,
    "learning_rate": 0.02,
    **dict.fromkeys(("tilt", "zoom", "intensity_scale", "intensity_shift", "noise"), 0.0),
    "weight_averaging": 0.5,
}
STEPS = 80


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Labels 1 and 2; voxels of 1 x 1 x 1.2 mm whose first axis runs to the left."""
    folder = tmp_path_factory.mktemp("prediction") / "Blobs"
    return read_dataset(write_dataset(folder, cases=5, affine=np.diag([-1.0, 1.0, 1.2, 1.0])))


def train(dataset: Dataset, folder: Path, *, targets: Targets, **plan: Any) -> tuple[Model, Evaluation]:
    found = take_fingerprint(dataset)
    planned = plan_preprocessing(found, dataset.modalities, **plan)
    volumes = prepare_volumes(dataset, targets, planned, found, cache=folder / "cache")
    data = {"volumes": str(volumes.folder), "train": volumes.names[:3], "validation": volumes.names[3:], "threads": 1}
    run = SegmentationRun(TRAINING, data=data, budget=Budget(unit="steps", maximum=STEPS), seed=0, device="cpu")
    evaluation = run.advance(STEPS)
    run.save_model(folder / "model.pt")
    return load_model(folder / "model.pt"), evaluation


@pytest.fixture(scope="module")
def trained(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Evaluation]:
    return train(dataset, tmp_path_factory.mktemp("trained"), targets=plan_targets(dataset.labels, None))


@pytest.fixture(scope="module")
def model(trained: tuple[Model, Evaluation]) -> Model:
    return trained[0]


def voxels_of(path: Path) -> np.ndarray:
    image: Any = nib.load(path)
    return np.asarray(image.dataobj)


def predict_one(model: Model, image: Path, folder: Path) -> Path:
    (written,) = predict_files([model], [ImageFiles.of(image)], folder).written
    return written


def plain_dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    return 2 * np.logical_and(prediction, truth).sum() / (prediction.sum() + truth.sum())


def test_dice_agrees_with_plain_numpy_on_the_written_files(model: Model, dataset: Dataset, tmp_path: Path) -> None:
    rows = evaluate_dataset([model], dataset)
    assert [(row.case, row.target) for row in rows] == [
        (case.name, target) for case in dataset.cases for target in ("class1", "class2")
    ]
    outcome = predict_files([model], [case.image for case in dataset.cases], tmp_path)
    for case, written in zip(dataset.cases, outcome.written, strict=True):
        predicted, truth = voxels_of(written), voxels_of(case.label)
        for value in (1, 2):
            expected = plain_dice(predicted == value, truth == value)
            (row,) = [row for row in rows if (row.case, row.target) == (case.name, f"class{value}")]
            assert row.dice == pytest.approx(expected, abs=1e-6)
            assert 0.3 < row.dice < 1  # learned, and not perfect: the comparison means something


def test_validation_scores_come_out_again(trained: tuple[Model, Evaluation], dataset: Dataset) -> None:
    model, evaluation = trained
    rows = evaluate_dataset([model], dataset, ["case_005", "case_004"])
    assert rows == [
        CaseScore(case=case, target=target, dice=dice)
        for case in ("case_005", "case_004")
        for target, dice in evaluation.cases[case].items()
    ]


def test_label_has_the_images_grid_and_header(model: Model, tmp_path: Path) -> None:
    image, _ = blob_case(3)
    affine = nib.affines.from_matvec(nib.eulerangles.euler2mat(z=0.2) @ np.diag([-1, 1, 1.2]), [-90, 12, 5])
    file = nib.Nifti1Image(image, affine)
    file.set_qform(affine, code=1)
    file.set_sform(affine, code=2)
    file.header.set_xyzt_units("mm", "sec")
    file.header["descrip"] = b"scanner 7"
    file.header["cal_max"] = 120
    nib.save(file, tmp_path / "image.nii.gz")
    output = predict_one(model, tmp_path / "image.nii.gz", tmp_path / "very" / "deep")
    label: Any = nib.load(output)
    source: Any = nib.load(tmp_path / "image.nii.gz")
    assert label.shape == image.shape
    assert label.get_data_dtype() == np.uint8
    assert set(np.unique(label.dataobj)) == {0, 1, 2}
    np.testing.assert_array_equal(label.affine, source.affine)
    for form in ("get_sform", "get_qform"):
        ours, theirs = (getattr(file, form)(coded=True) for file in (label, source))
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert ours[1] == theirs[1]
    assert label.header.get_xyzt_units() == ("mm", "sec")
    assert label.header["descrip"] == source.header["descrip"]
    assert label.header["cal_max"] == 0
    assert label.dataobj.slope == 1
    assert label.dataobj.inter == 0
    assert [path.name for path in output.parent.iterdir()] == ["image.nii.gz"]


def test_however_a_file_lies_its_label_lies_on_it(model: Model, dataset: Dataset) -> None:
    """Its axes in all 48 orders and directions, and each of them oblique: the same label voxel by voxel."""
    predict = Predictor([model], device="cpu").label
    image: Any = nib.load(dataset.cases[0].image.files[0])
    straight = nib.Nifti1Image(predict(np.asarray(image.dataobj)[None], image.affine), image.affine)
    assert set(np.unique(straight.dataobj)) == {0, 1, 2}
    oblique = nib.affines.from_matvec(nib.eulerangles.euler2mat(z=0.5, y=-0.3, x=0.2), [40, -30, 20])
    for axes in permutations(range(3)):
        for flips in product((1, -1), repeat=3):
            way = np.stack([axes, flips], axis=1)
            turned, expected = (nifti.as_reoriented(way) for nifti in (image, straight))
            affine = oblique @ turned.affine if flips[0] > 0 else turned.affine
            found = predict(np.asarray(turned.dataobj)[None], affine)
            np.testing.assert_array_equal(found, np.asarray(expected.dataobj))


def test_integers_with_a_slope_are_the_numbers_that_they_stand_for(
    model: Model, dataset: Dataset, tmp_path: Path
) -> None:
    image: Any = nib.load(dataset.cases[0].image.files[0])
    stored = nib.Nifti1Image(np.asarray(image.dataobj), image.affine)
    stored.set_data_dtype(np.int16)
    nib.save(stored, tmp_path / "integers.nii")
    assert nib.load(tmp_path / "integers.nii").dataobj.slope < 0.01
    file: Any = nib.load(predict_one(model, tmp_path / "integers.nii", tmp_path / "labels"))
    assert (file.get_data_dtype(), file.dataobj.slope, file.dataobj.inter) == (np.uint8, 1, 0)
    expected = voxels_of(predict_one(model, dataset.cases[0].image.files[0], tmp_path / "labels"))
    for value in (1, 2):
        assert plain_dice(np.asarray(file.dataobj) == value, expected == value) > 0.99


@pytest.mark.parametrize("spacing", [(0.7, 0.7, 0.8), (1.5, 1.5, 1.5), (1, 1, 3)])
def test_a_file_of_other_voxels_is_labelled_nearly_as_well(
    model: Model, dataset: Dataset, spacing: tuple[float, float, float]
) -> None:
    predict = Predictor([model], device="cpu").label
    image: Any = nib.load(dataset.cases[0].image.files[0])
    truth = voxels_of(dataset.cases[0].label)
    zoom = nib.affines.voxel_sizes(image.affine) / spacing
    other = ndimage.zoom(np.asarray(image.dataobj), zoom, order=1, mode="nearest", grid_mode=True)
    there = ndimage.zoom((truth > 0).astype(np.float32), zoom, order=1, mode="nearest", grid_mode=True) > 0.5
    affine = image.affine @ np.diag([*(np.array(image.shape) / other.shape), 1])
    before = plain_dice(predict(np.asarray(image.dataobj)[None], image.affine) > 0, truth > 0)
    after = plain_dice(predict(other[None], affine) > 0, there)
    assert after > 0.95 * before > 0.8


def test_resampled_and_merged_targets_come_back_in_file_values(dataset: Dataset, tmp_path: Path) -> None:
    merged = Targets(names=("all",), members=((2, 1),), regions=False)
    model, evaluation = train(dataset, tmp_path, targets=merged, spacing=(1.5, 1.5, 1.5))
    outcome = predict_files([model], [dataset.cases[4].image], tmp_path / "out")
    label = voxels_of(outcome.written[0])
    assert label.shape == voxels_of(dataset.cases[4].label).shape == (20, 24, 18)
    assert set(np.unique(label)) == {0, 2}
    (row,) = evaluate_dataset([model], dataset, ["case_005"])
    assert row.dice == pytest.approx(plain_dice(label > 0, voxels_of(dataset.cases[4].label) > 0), abs=1e-6)
    # On the file's finer voxels the same prediction scores about the same.
    assert row.dice == pytest.approx(evaluation.cases["case_005"]["all"], abs=0.1)


def test_regions_are_scored_as_they_are_written(dataset: Dataset, tmp_path: Path) -> None:
    regions = plan_targets(dataset.labels, {"whole": [1, 2], "core": 2}, regions=True)
    model, _ = train(dataset, tmp_path, targets=regions)
    outcome = predict_files([model], [dataset.cases[0].image], tmp_path / "out")
    label, truth = voxels_of(outcome.written[0]), voxels_of(dataset.cases[0].label)
    whole, core = evaluate_dataset([model], dataset, ["case_001"])
    assert whole.dice == pytest.approx(plain_dice(label > 0, truth > 0), abs=1e-6)
    assert core.dice == pytest.approx(plain_dice(label == 2, truth == 2), abs=1e-6)


@pytest.fixture(scope="module")
def two(model: Model) -> Model:
    """A model of two channels; it has learned nothing."""
    network = replace(model.network, in_channels=2)
    torch.manual_seed(0)
    return replace(
        model,
        network=network,
        weights=build_network(network).state_dict(),
        plan=replace(model.plan, normalisation=model.plan.normalisation * 2),
        modalities=("T1", "T2"),
        intensities=model.intensities * 2,
    )


def test_four_dimensions_give_a_label_of_three(two: Model, tmp_path: Path) -> None:
    image, _ = blob_case(1, channels=2)
    write_nifti(tmp_path / "image.nii.gz", image)
    label: Any = nib.load(predict_one(two, tmp_path / "image.nii.gz", tmp_path / "labels"))
    assert label.shape == (20, 24, 18)
    assert label.header["dim"].tolist() == [3, 20, 24, 18, 1, 1, 1, 1]


def test_channels_in_files_of_their_own_give_the_same_label(two: Model, tmp_path: Path) -> None:
    whole = write_dataset(tmp_path / "Blobs", cases=1, channels=2, manifest={"modality": {"0": "T1", "1": "T2"}})
    split, table = write_nnunet(whole, tmp_path / "split"), write_table(whole, tmp_path / "table")
    expected, *found = (
        voxels_of(predict_files([two], find_images([given], modalities=two.modalities), tmp_path / name).written[0])
        for name, given in {"one": whole, "two": split, "three": split / "imagesTr", "four": table}.items()
    )
    assert len(list(tmp_path.glob("*/case_001.nii.gz"))) == 4
    for label in found:
        np.testing.assert_array_equal(label, expected)
    assert len(np.unique(expected)) > 1


def test_a_channel_that_does_not_fit_is_named(two: Model, tmp_path: Path) -> None:
    first = write_nifti(tmp_path / "a_0000.nii.gz", blob_case(1)[0])
    second = write_nifti(tmp_path / "a_0001.nii.gz", blob_case(1, shape=(20, 24, 17))[0])
    (image,) = find_images([first, second], modalities=two.modalities)
    (problem,) = predict_files([two], [image], tmp_path / "out").failed.values()
    assert problem.startswith(f"{second}: shape 20 x 24 x 17 differs from 20 x 24 x 18 of a_0000.nii.gz")


def test_channels_in_another_order_are_no_data_to_score(two: Model, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "Blobs", cases=1, channels=2, manifest={"modality": {"0": "T2", "1": "T1"}})
    with pytest.raises(DatasetError) as caught:
        evaluate_dataset([two], read_dataset(folder))
    assert str(caught.value) == f"{folder}: has the channels T2, T1; the model takes T1, T2, in this order"


def test_a_bad_image_holds_up_no_other(model: Model, dataset: Dataset, tmp_path: Path) -> None:
    good = dataset.cases[0].image.files[0]
    wrong = write_nifti(tmp_path / "two channels.nii.gz", blob_case(1, channels=2)[0])
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(good.read_bytes()[:1000])
    seen: list[tuple[int, int]] = []
    outcome = predict_files(
        [model],
        [ImageFiles.of(image) for image in (wrong, broken, good)],
        tmp_path / "out",
        progress=lambda done, total: seen.append((done, total)),
    )
    assert outcome.written == (tmp_path / "out" / "case_001.nii.gz",)
    assert list((tmp_path / "out").iterdir()) == list(outcome.written)
    assert outcome.failed == {
        ImageFiles.of(wrong): "has 2 channels, the model was trained on 1 (MRI); of a time series give one volume",
        ImageFiles.of(broken): "ends too early (truncated gzip); copy it again",
    }
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_no_images_are_no_labels(model: Model, tmp_path: Path) -> None:
    assert predict_files([model], [], tmp_path / "out") == PredictionOutcome(written=(), failed={})


def test_an_output_folder_that_is_a_file(model: Model, dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(TrainableError, match="out: can't be made a folder: File exists; choose another output"):
        predict_files([model], [dataset.cases[0].image], tmp_path / "out")


def test_a_device_that_is_not_there(model: Model, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="device: must be cpu, cuda or one GPU such as cuda:1, got 'tpu'"):
        predict_files([model], [dataset.cases[0].image], tmp_path / "out", device="tpu")
    assert not (tmp_path / "out").exists()
    with pytest.raises(SettingError, match="got 'tpu'"):
        evaluate_dataset([model], dataset, device="tpu")


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError(), MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")],
)
def test_memory_that_runs_out_is_one_images_failure(
    model: Model, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(predictor, "probabilities", fail)
    outcome = predict_files([model], [dataset.cases[0].image], tmp_path)
    assert outcome.failed == {dataset.cases[0].image: "does not fit into memory"}
    with pytest.raises(PredictionError) as raised:
        evaluate_dataset([model], dataset, ["case_002"])
    assert str(raised.value) == f"{dataset.cases[1].image}: does not fit into memory"


def test_nothing_is_computed_where_a_label_exists(
    model: Model, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "Predictor", None)
    (tmp_path / "case_002.nii.gz").write_text("mine")
    with pytest.raises(TrainableError, match=r"case_002\.nii\.gz: exists already; nothing was computed"):
        predict_files([model], [case.image for case in dataset.cases], tmp_path)
    assert (tmp_path / "case_002.nii.gz").read_text() == "mine"


@pytest.mark.parametrize(
    ("changes", "names", "message"),
    [
        ({}, ["case_009"], "Blobs: has no case 'case_009'"),
        ({"modalities": ("T1", "T2")}, None, r"declares 2 channels \(T1, T2\), the model was trained on 1 \(MRI\)"),
        ({"labels": {0: "background", 1: "class1"}}, None, "declares no label 2, which makes the model's class2"),
    ],
)
def test_data_sets_that_do_not_fit(
    model: Model, dataset: Dataset, changes: dict[str, Any], names: list[str] | None, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        evaluate_dataset([model], replace(dataset, **changes), names)


def test_a_precision_that_the_device_lacks_becomes_fp32(model: Model, dataset: Dataset) -> None:
    half = replace(model, training={**model.training, "precision": "fp16"})
    assert evaluate_dataset([half], dataset, ["case_001"]) == evaluate_dataset([model], dataset, ["case_001"])


def test_an_image_that_nibabel_does_not_know_by_its_size_is_labelled(
    trained: tuple[Model, Evaluation], tmp_path: Path
) -> None:
    image = nib.Nifti2Image(blob_case(1)[0], np.eye(4))
    content = bytes(4) + image.to_bytes()[4:]  # sizeof_hdr, which nothing needs
    (tmp_path / "image.nii").write_bytes(content)
    outcome = predict_files([trained[0]], [ImageFiles.of(tmp_path / "image.nii")], tmp_path / "labels", device="cpu")
    assert [nib.load(file).shape for file in outcome.written] == [(20, 24, 18)]
