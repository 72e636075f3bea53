from pathlib import Path

import numpy as np
import pytest

from trainables.case_files import read_case
from trainables.errors import SettingError
from trainables.fingerprint import Fingerprint, take_fingerprint
from trainables.layouts import read_dataset
from trainables.normalisation import ChannelNormalisation
from trainables.preprocessing import PreprocessingPlan, plan_preprocessing, preprocess_image, preprocess_label
from trainables.volume_file import read_image, read_label

ZSCORE = ChannelNormalisation(kind="zscore")
RAW = ChannelNormalisation(kind="none")


THICK = "spacing: must leave the median volume 2 to 32767 voxels along each axis"


@pytest.fixture(scope="module")
def fingerprint(small_dataset: Path) -> Fingerprint:
    return take_fingerprint(read_dataset(small_dataset))


def plan(spacing: tuple[float, float, float] = (1, 1, 1), **settings: object) -> PreprocessingPlan:
    return PreprocessingPlan(spacing=spacing, **{"normalisation": (ZSCORE,), **settings})  # type: ignore[arg-type]


def test_voxels_of_metres_are_refused_before_memory_is_taken() -> None:
    image, affine = np.ones((1, 20, 24, 18), np.float32), np.diag([5e4, 5e4, 5e4, 1])
    with pytest.raises(MemoryError, match=r"1000000 x 1200000 x 900000 voxels take .* GiB of memory, and this machine"):
        preprocess_image(image, affine, plan())


def test_plan_of_an_mri_is_the_median_spacing_and_zscore(fingerprint: Fingerprint) -> None:
    planned = plan_preprocessing(fingerprint, ("MRI",))
    assert planned == PreprocessingPlan(spacing=(1, 1, 1), normalisation=(ZSCORE,), crop=True)


@pytest.mark.parametrize("modality", ["CT", "ct", "Contrast CT", "CT-portal"])
def test_plan_of_a_ct_clips_to_the_percentiles_of_the_labelled_voxels(
    small_dataset: Path, fingerprint: Fingerprint, modality: str
) -> None:
    images, labels = (sorted((small_dataset / part).iterdir()) for part in ("imagesTr", "labelsTr"))
    labelled = np.concatenate(
        [read_image(i)[0][0][read_label(label)[0] > 0] for i, label in zip(images, labels, strict=True)]
    )
    (channel,) = plan_preprocessing(fingerprint, (modality,)).normalisation
    assert channel.kind == "ct"
    assert channel.mean == pytest.approx(labelled.mean(), rel=1e-4)
    assert channel.std == pytest.approx(labelled.std(), rel=1e-4)
    spread = float(labelled.std())
    assert channel.low == pytest.approx(np.percentile(labelled, 0.5), abs=0.05 * spread)
    assert channel.high == pytest.approx(np.percentile(labelled, 99.5), abs=0.05 * spread)


def test_modalities_that_only_sound_like_ct_are_not(fingerprint: Fingerprint) -> None:
    assert plan_preprocessing(fingerprint, ("SPECT",)).normalisation == (ZSCORE,)


def test_plan_as_given(fingerprint: Fingerprint) -> None:
    planned = plan_preprocessing(fingerprint, ("CT",), spacing=[1, 2, 2.5], normalisation="minmax")
    assert planned.spacing == (1.0, 2.0, 2.5)
    assert planned.normalisation == (ChannelNormalisation(kind="minmax"),)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"spacing": "mean"}, "spacing: median or three numbers (mm) are needed, received 'mean'"),
        ({"spacing": (1, 1)}, "spacing: three numbers above 0 (mm) are needed, received (1, 1)"),
        ({"spacing": (1, 0, 1)}, "spacing: three numbers above 0 (mm) are needed, received (1.0, 0.0, 1.0)"),
        ({"spacing": (1, 1e6, 1)}, f"{THICK}; got 1e+06 mm along y, where it has 24 of 1 mm"),
        ({"spacing": (1, 1, 12.1)}, f"{THICK}; got 12.1 mm along z, where it has 18 of 1 mm"),
        ({"spacing": (1e-3, 1, 5e-324)}, f"{THICK}; got 4.94066e-324 mm along z, where it has 18 of 1 mm"),
        ({"normalisation": "log"}, "normalisation: 'log' is none of auto, zscore, ct, minmax, none"),
        ({"modalities": ("T1", "T2")}, "modalities: 2 names for images of 1 channels"),
    ],
)
def test_rules_of_a_plan(fingerprint: Fingerprint, settings: dict, message: str) -> None:
    settings = {"modalities": ("MRI",), **settings}
    with pytest.raises(SettingError) as caught:
        plan_preprocessing(fingerprint, settings.pop("modalities"), **settings)
    assert str(caught.value) == message


def test_two_voxels_are_enough(fingerprint: Fingerprint) -> None:
    assert fingerprint.median_shape(plan_preprocessing(fingerprint, ("MRI",), spacing=(10, 12, 12)).spacing) == (
        2,
        2,
        2,
    )


def test_plan_mapping_round_trip(fingerprint: Fingerprint) -> None:
    planned = plan_preprocessing(fingerprint, ("CT",))
    assert PreprocessingPlan.from_mapping(planned.to_mapping()) == planned


def test_image_is_turned_cropped_then_normalised() -> None:
    rng = np.random.default_rng(0)
    content = rng.normal(100, 10, (6, 7, 8)).astype(np.float32)  # along RAS
    ras = np.zeros((10, 10, 10), np.float32)
    ras[1:7, 2:9, 0:8] = content
    lps = np.ascontiguousarray(ras[::-1, ::-1])
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    before = lps.copy()
    image, grid = preprocess_image(lps[None], affine, plan())
    assert image.dtype == np.float32
    assert image.flags.c_contiguous
    np.testing.assert_allclose(image[0], (content - content.mean()) / content.std(), atol=1e-5)
    assert grid.box == ((1, 7), (2, 9), (0, 8))
    np.testing.assert_array_equal(lps, before)  # what the caller gave stays as it was


def test_without_crop_the_border_stays() -> None:
    image = np.zeros((1, 6, 6, 6), np.float32)
    image[0, 2:4, 2:4, 2:4] = 5
    kept, _ = preprocess_image(image, np.eye(4), plan(normalisation=(RAW,), crop=False))
    np.testing.assert_array_equal(kept, image)
    cropped, _ = preprocess_image(image, np.eye(4), plan(normalisation=(RAW,)))
    assert cropped.shape == (1, 2, 2, 2)


def test_image_and_label_are_resampled_to_the_same_voxels() -> None:
    x, y, z = np.indices((30, 28, 12))
    ball = ((x - 14) ** 2 + (y - 13) ** 2 + (2.5 * (z - 6)) ** 2 < 10**2).astype(np.uint8)
    affine = np.diag([1.0, 1.0, 2.5, 1.0])
    image, grid = preprocess_image(1 + ball[None].astype(np.float32), affine, plan((1, 1, 1), normalisation=(RAW,)))
    label = preprocess_label(ball, grid)
    assert image.shape[1:] == label.shape == (30, 28, 30)
    assert label.dtype == np.uint8
    agreement = 2 * ((image[0] > 1.5) & (label == 1)).sum() / ((image[0] > 1.5).sum() + (label == 1).sum())
    assert agreement > 0.95  # a ball shifted by one voxel has 0.92


def test_statistics_are_of_the_scanners_voxels_not_the_resampled_ones() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(300, 40, (1, 16, 16, 16)).astype(np.float32)
    same, _ = preprocess_image(image, np.eye(4), plan())
    finer, _ = preprocess_image(image, np.eye(4), plan((0.5, 0.5, 0.5)))
    assert finer.shape == (1, 32, 32, 32)
    assert float(same.std()) == pytest.approx(1, abs=1e-4)
    assert float(finer.std()) < 0.95  # between independent voxels the spline is smoother


def test_how_a_stripped_volume_is_framed_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    x, y, z = np.indices((24, 26, 22)) - 12
    image = np.where(x**2 + y**2 + z**2 < 9**2, rng.normal(500, 50, (1, 24, 26, 22)), 0).astype(np.float32)
    framed = np.pad(image, ((0, 0), (25, 0), (1, 9), (3, 3)))
    np.testing.assert_array_equal(
        preprocess_image(framed, np.eye(4), plan())[0], preprocess_image(image, np.eye(4), plan())[0]
    )


@pytest.mark.data
def test_real_four_channel_brains_are_normalised_inside_only(real_data: Path) -> None:
    dataset = read_dataset(real_data / "OpenMS3_1mm")
    case = read_case(dataset, dataset.cases[0])
    image, grid = preprocess_image(case.image, case.affine, plan(normalisation=(ZSCORE,) * 4))
    inside = grid.crop(grid.orient(case.image)).any(axis=0)
    assert 0.3 < inside.mean() < 0.7
    for channel in image:
        assert float(channel[inside].mean()) == pytest.approx(0, abs=1e-3)
        assert float(channel[inside].std()) == pytest.approx(1, abs=1e-3)


@pytest.mark.data
def test_real_anisotropic_ct(real_data: Path) -> None:
    dataset = read_dataset(real_data / "SpleenCrop1")
    found = take_fingerprint(dataset)
    planned = plan_preprocessing(found, dataset.modalities)
    assert planned.spacing == pytest.approx((0.795, 0.795, 5), abs=1e-3)
    (channel,) = planned.normalisation
    assert channel.kind == "ct"
    mapping = channel.to_mapping()
    assert -100 < mapping["low"] < 50 < mapping["mean"] < mapping["high"] < 300
