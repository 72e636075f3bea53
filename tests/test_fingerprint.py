"""The fingerprint: what is measured of each case, what follows for the data set, and when a kept one holds."""

import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from make_data import write_dataset, write_nifti

from trainables.case_fingerprint import CaseFingerprint
from trainables.dataset import Dataset
from trainables.errors import DatasetError, SettingError
from trainables.fingerprint import Fingerprint, cached_fingerprint, take_fingerprint
from trainables.intensity import QUANTILE_LEVELS, Intensity
from trainables.layouts import read_dataset

# Voxels of the file run down (5 mm), to the left (1 mm) and forward (2 mm).
TURNED = np.array([[0.0, -1, 0, 0], [0, 0, 2, 0], [-5, 0, 0, 0], [0, 0, 0, 1]])


def array_of(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)  # type: ignore[attr-defined]


def example(name: str, **changes: object) -> CaseFingerprint:
    facts: dict[str, object] = {
        "name": name,
        "shape": (10, 10, 10),
        "cropped_shape": (10, 10, 10),
        "spacing": (1.0, 1.0, 1.0),
        "minimum": (0.0,),
        "maximum": (9.0,),
        "foreground": (),
        "label_voxels": {0: 900, 1: 100},
        "content_hash": name * 64,
    }
    return CaseFingerprint(**(facts | changes))  # type: ignore[arg-type]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return read_dataset(write_dataset(tmp_path / "Blobs", cases=3, shape=(8, 12, 10), channels=2))


def test_a_case_is_measured_along_the_patients_axes(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path, cases=1, shape=(8, 12, 10), affine=TURNED)
    dataset = read_dataset(folder)
    image = np.zeros((8, 12, 10), np.float32)
    image[1:6, 2:12, 3:7] = np.random.default_rng(0).uniform(-5, 90, (5, 10, 4))
    write_nifti(dataset.cases[0].image.files[0], image, affine=TURNED)
    (case,) = take_fingerprint(dataset).cases
    assert (case.name, case.channels) == ("case_001", 1)
    assert (case.shape, case.cropped_shape, case.spacing) == ((12, 10, 8), (10, 4, 5), (1, 2, 5))
    assert (case.minimum, case.maximum) == ((image.min(),), (image.max(),))


def test_intensities_of_each_channel_are_those_under_the_label(dataset: Dataset) -> None:
    for case, listed in zip(take_fingerprint(dataset).cases, dataset.cases, strict=True):
        image, label = array_of(listed.image.files[0]), array_of(listed.label)
        assert case.name == listed.name
        assert case.label_voxels == {value: int((label == value).sum()) for value in (0, 1, 2)}
        for channel, found in enumerate(case.foreground):
            values = image[..., channel][label > 0].astype(np.float64)
            assert found.voxels == values.size
            assert (found.mean, found.std) == pytest.approx((values.mean(), values.std()))
            np.testing.assert_allclose(found.quantiles, np.quantile(values, QUANTILE_LEVELS), rtol=1e-5)


def test_a_case_without_foreground_counts_for_the_rest(dataset: Dataset) -> None:
    write_nifti(dataset.cases[1].label, np.zeros((8, 12, 10), np.uint8))
    fingerprint = take_fingerprint(dataset)
    assert [len(case.foreground) for case in fingerprint.cases] == [2, 0, 2]
    assert fingerprint.cases[1].label_voxels == {0: 960, 1: 0, 2: 0}
    parts = [fingerprint.cases[index].foreground[1] for index in (0, 2)]
    assert fingerprint.foreground(1) == Intensity.pooled(parts)
    with pytest.raises(DatasetError, match=r"^no case has a voxel with a label other than 0, the background$"):
        fingerprint.subset(["case_002"]).foreground(0)


def test_a_data_set_without_any_foreground_is_refused(dataset: Dataset) -> None:
    for case in dataset.cases:
        write_nifti(case.label, np.zeros((8, 12, 10), np.uint8))
    with pytest.raises(DatasetError) as caught:
        take_fingerprint(dataset)
    assert str(caught.value) == f"{dataset.source}: every voxel of every label file is 0, the background"


@pytest.mark.parametrize("value", [0, -7.5])
def test_an_image_of_nothing_is_refused(dataset: Dataset, value: float) -> None:
    image = write_nifti(dataset.cases[1].image.files[0], np.full((8, 12, 10, 2), value, np.float32))
    with pytest.raises(DatasetError) as caught:
        take_fingerprint(dataset)
    assert str(caught.value) == f"{image}: every voxel is {value:g}; there is nothing to learn from"


def test_one_channel_of_nothing_is_told(dataset: Dataset) -> None:
    assert take_fingerprint(dataset).flat_notes(["T1", "T2"]) == []
    for case in dataset.cases[1:]:
        image = array_of(case.image.files[0]).copy()
        image[..., 1] = 3
        write_nifti(case.image.files[0], image)
    assert take_fingerprint(dataset).flat_notes(["T1", "T2"]) == ["T2 is the same in every voxel of case_002, case_003"]


def test_medians_and_class_frequencies() -> None:
    fingerprint = Fingerprint(
        (
            example("a", cropped_shape=(10, 20, 30), spacing=(1.0, 1.0, 1.0), label_voxels={0: 90, 1: 10}),
            example("b", cropped_shape=(40, 10, 10), spacing=(0.5, 1.0, 3.0), label_voxels={0: 200, 1: 0}),
            example("c", cropped_shape=(50, 50, 21), spacing=(2.0, 1.0, 2.0), label_voxels={0: 60, 1: 40}),
        )
    )
    assert fingerprint.median_spacing == (1, 1, 2)
    # At (1, 1, 2) mm the shapes are (10, 20, 15), (20, 10, 15), (100, 50, 21).
    assert fingerprint.median_shape() == (20, 20, 15)
    assert fingerprint.median_shape((1.0, 1.0, 1.0)) == (20, 20, 30)
    assert fingerprint.class_frequencies == {0: 350 / 400, 1: 50 / 400}


def test_the_content_hash_is_of_names_and_contents_not_of_their_order() -> None:
    a, b = example("a"), example("b")
    content_hash = Fingerprint((a, b)).content_hash
    assert content_hash == hashlib.sha256(f"a\0{'a' * 64}\nb\0{'b' * 64}\n".encode()).hexdigest()
    assert content_hash == Fingerprint((b, a)).content_hash
    others = (example("a", content_hash="c" * 64), example("c", content_hash="a" * 64))
    assert len({content_hash, *(Fingerprint((other, b)).content_hash for other in others)}) == 3


def test_one_changed_byte_changes_the_content_hash(dataset: Dataset) -> None:
    before = take_fingerprint(dataset)
    label = array_of(dataset.cases[1].label)
    label[0, 0, 0] = 1
    write_nifti(dataset.cases[1].label, label)
    after = take_fingerprint(dataset)
    assert [a.content_hash == b.content_hash for a, b in zip(after.cases, before.cases, strict=True)] == [1, 0, 1]
    assert after.content_hash != before.content_hash


def test_subset() -> None:
    fingerprint = Fingerprint((example("a"), example("b"), example("c")))
    assert fingerprint.subset(["c", "a"]).cases == (fingerprint.cases[2], fingerprint.cases[0])
    with pytest.raises(KeyError, match="nobody"):
        fingerprint.subset(["nobody"])


def test_plain_types_and_back(dataset: Dataset) -> None:
    fingerprint = take_fingerprint(dataset)
    assert Fingerprint.from_mapping(json.loads(json.dumps(fingerprint.to_mapping(), allow_nan=False))) == fingerprint


def test_workers_and_progress(dataset: Dataset) -> None:
    calls: list[tuple[int, int]] = []
    parallel = take_fingerprint(dataset, workers=3, progress=lambda done, of: calls.append((done, of)))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert parallel == take_fingerprint(dataset, workers=1)


def test_all_broken_cases_are_told_together_in_order(dataset: Dataset) -> None:
    first, second, third = dataset.cases
    third.image.files[0].write_bytes(b"nothing")
    write_nifti(first.label, np.full((8, 12, 10), 9, np.uint8))
    with pytest.raises(DatasetError) as caught:
        take_fingerprint(dataset)
    assert str(caught.value) == (
        "2 problems:\n"
        f"  {first.label}: 960 voxels have the label 9; dataset.json declares 0, 1, 2\n"
        f"  {third.image}: not a gzip file, or a damaged one: Error -3 while decompressing data: incorrect header check"
    )
    shutil.copy(second.label, first.label)
    with pytest.raises(DatasetError) as caught:
        take_fingerprint(dataset)
    assert str(caught.value).startswith(f"{third.image}: not a gzip file")


def test_ten_broken_cases_are_enough(tmp_path: Path) -> None:
    dataset = read_dataset(write_dataset(tmp_path, cases=30, shape=(4, 4, 4)))
    for case in dataset.cases:
        case.image.files[0].write_bytes(b"nothing")
    with pytest.raises(DatasetError) as caught:
        take_fingerprint(dataset, workers=1)
    lines = str(caught.value).split("\n  ")
    assert lines[0] == "the first 10 problems:"
    assert [line.split(":")[0] for line in lines[1:]] == [str(case.image) for case in dataset.cases[:10]]


def test_a_kept_fingerprint_is_used_again(dataset: Dataset, tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "deep"
    first = cached_fingerprint(dataset, cache)
    assert first == take_fingerprint(dataset)
    calls: list[int] = []
    again = cached_fingerprint(read_dataset(dataset.source), cache, progress=lambda done, of: calls.append(done))
    assert (again, calls) == (first, [])
    assert [path.name[:12] for path in cache.iterdir()] == ["fingerprint-"]


def test_a_changed_file_is_read_again(dataset: Dataset, tmp_path: Path) -> None:
    before = cached_fingerprint(dataset, tmp_path / "cache")
    label = dataset.cases[0].label
    stat = label.stat()
    content = bytearray(label.read_bytes())
    content[4:8] = b"\1\2\3\4"  # gzip's own time stamp: other bytes, same size, same label
    time.sleep(0.02)  # a file system's clock may be coarse
    label.write_bytes(content)
    os.utime(label, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as `cp -p` over the file would leave it
    after = cached_fingerprint(dataset, tmp_path / "cache")
    assert after.content_hash != before.content_hash


def test_other_declared_labels_are_checked_again(dataset: Dataset, tmp_path: Path) -> None:
    cached_fingerprint(dataset, tmp_path / "cache")
    manifest = dataset.source / "dataset.json"
    content = json.loads(manifest.read_text())
    del content["labels"]["2"]
    manifest.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"voxels have the label 2; dataset\.json declares 0, 1"):
        cached_fingerprint(read_dataset(dataset.source), tmp_path / "cache")


@pytest.mark.parametrize(
    "damage", [b"", b"{}", b"[]", b'{"format": 0, "cases": []}', b'{"format": 2, "cases": [{}]}', b"[" * 10**5]
)
def test_a_damaged_cache_is_taken_anew(dataset: Dataset, tmp_path: Path, damage: bytes) -> None:
    good = cached_fingerprint(dataset, tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(damage)
    assert cached_fingerprint(dataset, tmp_path / "cache") == good
    assert Fingerprint.from_mapping(json.loads(kept.read_text())) == good


def test_nothing_is_kept_of_a_broken_data_set(dataset: Dataset, tmp_path: Path) -> None:
    dataset.cases[0].image.files[0].write_bytes(b"nothing")
    with pytest.raises(DatasetError):
        cached_fingerprint(dataset, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("place", "problem"), [("file", "Not a directory"), ("file/below", "Not a directory"), ("/proc/cache", "")]
)
def test_a_cache_that_cannot_be_written_is_told_before_anything_is_measured(
    dataset: Dataset, tmp_path: Path, place: str, problem: str
) -> None:
    (tmp_path / "file").write_text("mine")
    calls: list[int] = []
    with pytest.raises(SettingError) as error:
        cached_fingerprint(dataset, tmp_path / place, progress=lambda done, of: calls.append(done))
    assert str(error.value).startswith(f"cache: {tmp_path / place} can't be written: {problem}")
    assert not calls
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.data
def test_the_real_data_sets(real_data: Path) -> None:
    spleen = take_fingerprint(read_dataset(real_data / "SpleenCrop1"))
    assert spleen.median_shape() == (164, 166, 26)
    assert spleen.median_spacing == pytest.approx((0.795, 0.795, 5), abs=1e-3)
    (listed,) = read_dataset(real_data / "SpleenCrop1").cases
    values = array_of(listed.image.files[0])[array_of(listed.label) > 0]
    assert spleen.foreground(0).quantile(0.995) == pytest.approx(np.quantile(values, 0.995), rel=1e-4)
    patients = take_fingerprint(read_dataset(real_data / "OpenMS3_1mm"))
    assert patients.channels == 4
    assert 0 < patients.class_frequencies[1] < 0.02
