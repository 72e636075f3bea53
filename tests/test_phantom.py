import json
import math

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from trainables.errors import DatasetError, SettingError
from trainables.layouts import read_dataset
from trainables.phantom import PHANTOM_TASKS, write_phantom

CASES = 4


@pytest.fixture(scope="module", params=list(PHANTOM_TASKS))
def phantom(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom") / request.param
    return request.param, write_phantom(folder, task=request.param, cases=CASES, seed=7, size=0.5)


def load(folder):
    """Images (C, X, Y, Z) and labels (X, Y, Z) as they lie in the files."""
    dataset = read_dataset(folder)
    images = [np.asanyarray(nib.load(*case.image.files).dataobj) for case in dataset.cases]
    images = [image[None] if image.ndim == 3 else np.moveaxis(image, -1, 0) for image in images]
    return images, [np.asanyarray(nib.load(case.label).dataobj) for case in dataset.cases]


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_a_phantom_is_a_decathlon_data_set(phantom):
    task, folder = phantom
    dataset = read_dataset(folder)
    modalities, labels = {
        "heart": (("MRI",), {1: "left atrium"}),
        "spleen": (("CT",), {1: "spleen"}),
        "brain": (("FLAIR", "T1w", "t1gd", "T2w"), {1: "edema", 2: "non-enhancing tumor", 3: "enhancing tumour"}),
    }[task]
    assert dataset.name == f"Phantom{task.capitalize()}"
    assert dataset.modalities == modalities
    assert dict(dataset.labels) == {0: "background"} | labels
    assert [case.name for case in dataset.cases] == [f"{task}_{n:03d}" for n in range(1, CASES + 1)]
    for image, label in zip(*load(folder), strict=True):
        assert (image.dtype, label.dtype) == (np.int16, np.uint8)
        assert image.shape == (len(modalities), *label.shape)
        assert np.unique(label).tolist() == [0, *labels]


def test_files_differ_in_axes_and_spacing_as_real_ones_do(phantom):
    task, folder = phantom
    files = [nib.load(*case.image.files) for case in read_dataset(folder).cases]
    axes = {"heart": "RAS", "spleen": "LAS", "brain": "LPS"}[task]
    assert {"".join(nib.aff2axcodes(file.affine)) for file in files} == {axes}
    assert len({file.shape for file in files}) > 1
    for file in files:
        x, y, z = file.header.get_zooms()[:3]
        assert x == pytest.approx(y)
        assert z == pytest.approx(5.0 if task == "spleen" else x)
        # The middle of the volume is the origin of the world.
        middle = file.affine @ [*((np.array(file.shape[:3]) - 1) / 2), 1]
        np.testing.assert_allclose(middle[:3], 0, atol=1e-4)


def test_no_threshold_finds_the_organ(phantom):
    _, folder = phantom
    images, labels = load(folder)
    # What a U-Net sees: each volume and channel standardised over its non-zero voxels.
    standard = [[(c - c[c != 0].mean()) / c[c != 0].std() for c in image.astype(np.float32)] for image in images]
    truths = [label > 0 for label in labels]
    best = 0.0
    for channel in range(len(images[0])):
        for threshold in np.arange(-3, 4, 0.1):
            for sign in (-1, 1):
                found = [sign * image[channel] > sign * threshold for image in standard]
                best = max(best, np.mean([dice(f, t) for f, t in zip(found, truths, strict=True)]))
    assert best < 0.7


def test_shapes_are_whole_and_of_many_sizes(phantom):
    task, folder = phantom
    sizes = []
    for case in read_dataset(folder).cases:
        file = nib.load(case.label)
        organ = np.asanyarray(file.dataobj) > 0
        components, _ = ndimage.label(organ)
        largest = np.bincount(components.ravel())[1:].max()
        assert largest / organ.sum() > 0.9
        sizes.append(organ.sum() * np.prod(file.header.get_zooms()) / 1000)
        bounds = {"heart": (20, 250), "spleen": (40, 500), "brain": (10, 300)}[task]
        assert bounds[0] < sizes[-1] < bounds[1], f"{sizes[-1]:.0f} ml"
    assert max(sizes) > 1.15 * min(sizes)


def test_ct_is_in_hounsfield_units_with_neighbours_of_like_density(tmp_path):
    images, labels = load(write_phantom(tmp_path / "spleen", task="spleen", cases=2, size=0.5))
    for (image,), label in zip(images, labels, strict=True):
        spleen = image[label == 1]
        assert 80 < np.median(spleen) < 140
        assert np.percentile(image, 5) == pytest.approx(-1000, abs=60)  # air around the body and in the lungs
        assert np.percentile(image, 99.9) > 300  # bone
        low, high = np.percentile(spleen, (5, 95))
        alike = (image > low) & (image < high) & (label == 0)
        assert np.count_nonzero(alike) > 3 * spleen.size


def test_brain_is_stripped_to_zero_and_holds_the_whole_tumour(tmp_path):
    images, labels = load(write_phantom(tmp_path / "brain", task="brain", cases=2, size=0.5))
    for image, label in zip(images, labels, strict=True):
        brain = image[0] != 0
        assert all(np.array_equal(channel != 0, brain) for channel in image)
        assert 0.2 < brain.mean() < 0.6
        assert np.count_nonzero((label > 0) & ~brain) == 0
        # What contrast agent shows: the enhancing rim around the rest of the core. FLAIR shows the edema.
        flair, _, t1gd, _ = image
        assert t1gd[label == 3].mean() > 1.3 * t1gd[label == 2].mean()
        assert flair[label == 1].mean() > 1.1 * flair[brain & (label == 0)].mean()


def test_a_case_depends_on_seed_and_number_alone(tmp_path):
    few = write_phantom(tmp_path / "few", cases=2, seed=3, size=0.4)
    more = write_phantom(tmp_path / "more", cases=3, seed=3, size=0.4)
    other = write_phantom(tmp_path / "other", cases=2, seed=4, size=0.4)
    for part in ("imagesTr", "labelsTr"):
        second = (few / part / "heart_002.nii.gz").read_bytes()
        assert (more / part / "heart_002.nii.gz").read_bytes() == second
        assert (other / part / "heart_002.nii.gz").read_bytes() != second
        assert (few / part / "heart_001.nii.gz").read_bytes() != second


@pytest.mark.parametrize("task", PHANTOM_TASKS)
def test_size_changes_the_voxels_and_not_the_anatomy(task, tmp_path):
    volumes = {}
    for size in (0.45, 0.75):
        folder = write_phantom(tmp_path / f"{size}", task=task, cases=1, seed=1, size=size)
        file = nib.load(folder / "labelsTr" / f"{task}_001.nii.gz")
        organ = np.asanyarray(file.dataobj) > 0
        centre = file.affine @ [*np.argwhere(organ).mean(axis=0), 1]
        volumes[size] = (file, organ.sum() * np.prod(file.header.get_zooms()), centre)
    small, large = volumes[0.45], volumes[0.75]
    assert small[1] == pytest.approx(large[1], rel=0.1)
    np.testing.assert_allclose(small[2], large[2], atol=1.5)
    factors = np.array(small[0].shape) / large[0].shape
    np.testing.assert_allclose(factors, [0.6, 0.6, 1.0 if task == "spleen" else 0.6], atol=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "lung"}, "task: there is no phantom 'lung'; available are heart, spleen, brain"),
        ({"cases": 0}, "cases: must be a whole number from 1 to 999, got 0"),
        ({"cases": 2.0}, "cases: must be a whole number from 1 to 999, got 2.0"),
        ({"seed": -1}, "seed: must be a whole number from 0 to 4294967295, got -1"),
        ({"size": 5}, "size: must be a number from 0.25 to 4, got 5"),
        ({"size": math.nan}, "size: must be a number from 0.25 to 4, got nan"),
    ],
)
def test_arguments_out_of_bounds_write_nothing(arguments, message, tmp_path):
    with pytest.raises(SettingError) as error:
        write_phantom(tmp_path / "out", **arguments)
    assert str(error.value) == message
    assert not (tmp_path / "out").exists()


def test_a_folder_that_can_not_be_made(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(DatasetError) as error:
        write_phantom(tmp_path / "mine.txt" / "heart", cases=1)
    assert str(error.value) == f"{tmp_path}/mine.txt/heart: can't be made a folder: Not a directory; choose another"


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(DatasetError) as error:
        write_phantom(tmp_path, cases=1)
    assert str(error.value) == f"{tmp_path}: exists and is not an empty folder; nothing was written"
    with pytest.raises(DatasetError):
        write_phantom(tmp_path / "mine.txt", cases=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_may_be_used_and_the_manifest_comes_last(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(nib, "save", fail)
        with pytest.raises(OSError, match="disk full"):
            write_phantom(tmp_path / "cut", cases=1, size=0.25)
    assert not (tmp_path / "cut" / "dataset.json").exists()

    folder = tmp_path / "empty"
    folder.mkdir()
    assert write_phantom(folder, cases=1, size=0.25) == folder
    assert json.loads((folder / "dataset.json").read_text())["numTraining"] == 1


def test_progress_is_told_once_a_case_is_written(tmp_path):
    seen = []

    def progress(done, of):
        seen.append((done, of, len(list((tmp_path / "heart" / "labelsTr").iterdir()))))

    write_phantom(tmp_path / "heart", cases=3, size=0.25, progress=progress)
    assert seen == [(1, 3, 1), (2, 3, 2), (3, 3, 3)]
