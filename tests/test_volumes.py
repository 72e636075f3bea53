import errno
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from make_data import blob_case, write_dataset, write_nifti

from trainables import volumes as volumes_module
from trainables.dataset import Dataset
from trainables.errors import DamagedVolumesError, DatasetError, SettingError
from trainables.fingerprint import Fingerprint, take_fingerprint
from trainables.half_precision import compact
from trainables.layouts import read_dataset
from trainables.normalisation import ChannelNormalisation
from trainables.preprocessing import PreprocessingPlan, plan_preprocessing, preprocess_image
from trainables.targets import Targets, plan_targets
from trainables.volume_file import read_image, read_label
from trainables.volume_need import disk_need, memory_need
from trainables.volume_store import FOREGROUND_SAMPLE
from trainables.volumes import Volumes, prepare_volumes


@pytest.fixture(scope="module")
def dataset(small_dataset: Path) -> Dataset:
    return read_dataset(small_dataset)


@pytest.fixture(scope="module")
def fingerprint(dataset: Dataset) -> Fingerprint:
    return take_fingerprint(dataset)


@pytest.fixture(scope="module")
def targets(dataset: Dataset) -> Targets:
    return plan_targets(dataset.labels, None)


@pytest.fixture(scope="module")
def plan(dataset: Dataset, fingerprint: Fingerprint) -> PreprocessingPlan:
    return plan_preprocessing(fingerprint, dataset.modalities)


Prepare = Callable[..., Volumes]


@pytest.fixture
def prepare(
    dataset: Dataset, targets: Targets, plan: PreprocessingPlan, fingerprint: Fingerprint, tmp_path: Path
) -> Prepare:
    def call(**changes: object) -> Volumes:
        given = {"dataset": dataset, "targets": targets, "plan": plan, "fingerprint": fingerprint}
        given |= {"cache": tmp_path / "cache"} | changes
        return prepare_volumes(**given)  # type: ignore[arg-type]

    return call


def test_volumes_hold_what_preprocessing_makes_of_the_files(
    prepare: Prepare, dataset: Dataset, plan: PreprocessingPlan, targets: Targets
) -> None:
    volumes = prepare()
    assert volumes.names == tuple(case.name for case in dataset.cases)
    assert (volumes.plan, volumes.targets, volumes.channels) == (plan, targets, 1)
    assert volumes.modalities == ("MRI",)
    for case in dataset.cases:
        volume = volumes[case.name]
        expected, _ = preprocess_image(*read_image(case.image.files[0]), plan)
        assert volume.image.dtype == np.float16
        np.testing.assert_allclose(volume.image, expected, rtol=2**-11, atol=1e-7)
        np.testing.assert_array_equal(volume.label, read_label(case.label)[0])
        assert volume.label.dtype == np.uint8
        assert volumes.shapes[case.name] == volume.label.shape == (20, 24, 18)


def test_arrays_are_read_only_and_aligned(prepare: Prepare) -> None:
    volumes = prepare()
    for name in volumes.names:
        for array in (volumes[name].image, volumes[name].label, *volumes[name].foreground):
            assert array.ctypes.data % 64 == 0
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0


def test_foreground_lists_each_targets_voxels(prepare: Prepare) -> None:
    volumes = prepare()
    for name in volumes.names:
        volume = volumes[name]
        for target, voxels in enumerate(volume.foreground, start=1):
            assert voxels.dtype == np.int32
            everywhere = np.argwhere(volume.label == target)
            assert len(voxels) == min(len(everywhere), FOREGROUND_SAMPLE)
            assert len(np.unique(voxels, axis=0)) == len(voxels)
            assert (volume.label[tuple(voxels.T)] == target).all()


def test_foreground_of_regions_and_a_sample_of_many(
    prepare: Prepare, dataset: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(volumes_module, "FOREGROUND_SAMPLE", 50)
    regions = plan_targets(dataset.labels, {"whole": [1, 2], "core": 2}, regions=True)
    volume = prepare(targets=regions)["case_001"]
    assert set(np.unique(volume.label)) == {0, 1, 3}
    whole, core = volume.foreground
    assert len(whole) == len(core) == 50
    assert set(volume.label[tuple(whole.T)]) == {1, 3}
    assert set(volume.label[tuple(core.T)]) == {3}
    again = prepare(targets=regions, cache=tmp_path / "elsewhere")["case_001"]
    np.testing.assert_array_equal(again.foreground[0], whole)


def test_a_target_that_a_case_lacks_has_no_foreground(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", cases=2)
    write_nifti(folder / "labelsTr" / "case_002.nii.gz", np.zeros((20, 24, 18), np.uint8))
    dataset = read_dataset(folder)
    found = take_fingerprint(dataset)
    plan = plan_preprocessing(found, dataset.modalities)
    volumes = prepare_volumes(dataset, plan_targets(dataset.labels, None), plan, found, cache=tmp_path / "cache")
    assert [voxels.shape for voxels in volumes["case_002"].foreground] == [(0, 3), (0, 3)]


def test_second_time_nothing_is_read(prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare()
    monkeypatch.setattr(volumes_module, "read_case", None)
    second = prepare()
    assert second.folder == first.folder
    np.testing.assert_array_equal(second["case_001"].image, first["case_001"].image)


def test_other_content_plan_or_targets_have_other_folders(
    prepare: Prepare, plan: PreprocessingPlan, fingerprint: Fingerprint, dataset: Dataset
) -> None:
    other_content = replace(fingerprint.cases[0], content_hash="0" * 64)
    folders = {
        prepare().folder,
        prepare(plan=replace(plan, spacing=(2, 2, 2))).folder,
        prepare(targets=plan_targets(dataset.labels, {"all": [1, 2]})).folder,
    }
    assert len(folders) == 3
    with pytest.raises(DatasetError, match=r"case_001.*: a file of this case changed after the fingerprint was taken"):
        prepare(fingerprint=Fingerprint((other_content, *fingerprint.cases[1:])))


def test_pickles_as_a_path(prepare: Prepare) -> None:
    volumes = prepare()
    image = volumes["case_003"].image
    pickled = pickle.dumps(volumes)
    assert len(pickled) < 500
    np.testing.assert_array_equal(pickle.loads(pickled)["case_003"].image, image)


def test_progress_and_names_that_are_no_file_names(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", cases=3)
    names = ["a b", "..ü", "con"]
    entries = []
    for number, name in enumerate(names, start=1):
        for part in ("imagesTr", "labelsTr"):
            (folder / part / f"case_{number:03d}.nii.gz").rename(folder / part / f"{name}.nii.gz")
        entries.append({"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz"})
    manifest = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(manifest | {"training": entries}))
    dataset = read_dataset(folder)
    found = take_fingerprint(dataset)
    plan = plan_preprocessing(found, dataset.modalities)
    seen: list[tuple[int, int]] = []
    volumes = prepare_volumes(
        dataset,
        plan_targets(dataset.labels, None),
        plan,
        found,
        cache=tmp_path / "cache",
        workers=2,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert volumes.names == tuple(names)
    assert volumes["..ü"].label.any()
    with pytest.raises(KeyError):
        volumes["case_001"]


def test_float16_only_where_it_loses_nothing() -> None:
    rng = np.random.default_rng(0)
    normal = rng.normal(0, 1, (2, 16, 16, 16)).astype(np.float32)
    assert compact(normal).dtype == np.float16
    hounsfield = rng.normal(0, 400, (1, 16, 16, 16)).astype(np.float32)
    assert compact(hounsfield).dtype == np.float16
    assert compact(normal * 40_000).dtype == np.float32  # past 65,504
    offset = normal.copy()
    offset[1] += 10_000  # float16 counts in steps of 8 there
    assert compact(offset) is offset
    assert compact(np.zeros((1, 4, 4, 4), np.float32)).dtype == np.float16


def test_float32_volumes_are_stored_as_they_are(prepare: Prepare, plan: PreprocessingPlan, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", cases=1)
    image, _ = blob_case(1)
    write_nifti(folder / "imagesTr" / "case_001.nii.gz", image + 20_000)
    dataset = read_dataset(folder)
    raw = replace(plan, normalisation=(ChannelNormalisation(kind="none"),))
    volumes = prepare(dataset=dataset, fingerprint=take_fingerprint(dataset), plan=raw)
    assert volumes["case_001"].image.dtype == np.float32
    np.testing.assert_array_equal(volumes["case_001"].image[0], image + 20_000)


def test_disk_need_is_close_above_what_is_written(
    prepare: Prepare, fingerprint: Fingerprint, plan: PreprocessingPlan, targets: Targets
) -> None:
    voxels = 6 * 20 * 24 * 18
    assert disk_need(fingerprint, plan, targets) == voxels * 3 + 6 * 2 * FOREGROUND_SAMPLE * 12
    finer = replace(plan, spacing=(0.5, 0.5, 0.5))
    assert disk_need(fingerprint, finer, targets) == 8 * voxels * 3 + 6 * 2 * FOREGROUND_SAMPLE * 12
    written = sum(file.stat().st_size for file in prepare().folder.iterdir())
    assert voxels * 3 < written < disk_need(fingerprint, plan, targets)


def test_what_memory_does_not_hold_is_refused_before_anything_is_written(
    prepare: Prepare, fingerprint: Fingerprint, plan: PreprocessingPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = replace(fingerprint.cases[1], spacing=(200.0, 1.0, 1.0))
    odd = replace(fingerprint, cases=(fingerprint.cases[0], wide, *fingerprint.cases[2:]))
    monkeypatch.setattr("trainables.machine_memory.machine_memory", lambda: 30 * 2**20)
    with pytest.raises(DatasetError) as refused:
        prepare(fingerprint=odd)
    assert str(refused.value) == (
        "case_002: to be prepared it takes 0.0 GiB of memory, and this machine has 0.0: its 20 x 24 x 18 voxels are "
        "200 x 1 x 1 mm wide, and would become 1 x 1 x 1 mm"
    )
    assert {file.suffix for file in (tmp_path / "cache").iterdir()} == {".lock"}


def test_memory_need_bounds_the_workers(
    prepare: Prepare, fingerprint: Fingerprint, plan: PreprocessingPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = memory_need(fingerprint, plan)
    assert 20 * 24 * 18 * 12 < need < 20 * 24 * 18 * 60
    counts: list[int] = []

    def counting_pool(workers: int) -> ThreadPoolExecutor:
        counts.append(workers)
        return ThreadPoolExecutor(workers)

    monkeypatch.setattr(volumes_module, "ThreadPoolExecutor", counting_pool)
    for memory in (10 * need, int(3.5 * need), need // 2):
        monkeypatch.setattr("trainables.volume_need.PREPARATION_MEMORY", memory)
        shutil.rmtree(prepare(workers=5).folder)
    assert counts == [5, 3, 1]


def test_a_full_disk_is_told_before_anything_is_written(
    prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(volumes_module.shutil, "disk_usage", lambda _: usage._replace(free=2**19))
    with pytest.raises(SettingError, match=r"cache: .*cache has 0\.5 MiB free, the preprocessed volumes take"):
        prepare()
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


def test_a_failure_leaves_nothing_that_looks_whole(
    prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise DatasetError("broken")

    monkeypatch.setattr(volumes_module, "_sample", fail)
    with pytest.raises(DatasetError, match="broken"):
        prepare()
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


def test_a_disk_that_fills_up_is_a_clear_error(
    prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(volumes_module.VolumeWriter, "add", fail)
    with pytest.raises(SettingError) as caught:
        prepare()
    assert str(caught.value) == f"cache: {tmp_path / 'cache'} can't be written: No space left on device"
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


def test_a_damaged_folder_that_is_somebody_elses(
    prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (prepare().folder / "index.json").unlink()

    def refuse(folder: Path, *, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(volumes_module.shutil, "rmtree", refuse)
    with pytest.raises(SettingError) as caught:
        prepare()
    assert str(caught.value) == f"cache: {tmp_path / 'cache'} can't be written: Permission denied"


def test_a_cache_that_is_a_file(prepare: Prepare, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("mine")
    with pytest.raises(SettingError, match=r"cache: .*cache can't be used: "):
        prepare()


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (["plan"], None, "'NoneType' object is not subscriptable"),
        (["modalities"], ["MRI", "MRI"], "modalities: names of 1 channels are needed"),
        (["bytes"], "many", "bytes: a whole number is needed, received 'many'"),
        (["cases", 0, "image", "offset"], 2**62, "no place of an array"),
        (["cases", 0, "image", "shape"], [1, -20, 24, 18], "no place of an array"),
        (["cases", 0, "label", "shape"], [20, 24, 9], "'case_001': the shapes of its arrays do not fit one another"),
        (["cases", 0, "foreground"], [], "'case_001': the shapes of its arrays do not fit one another"),
        (["cases", 0, "name"], {}, "a case's name is needed"),
    ],
)
def test_nothing_of_a_broken_index_is_believed(prepare: Prepare, place: list, value: object, told: str) -> None:
    index = prepare().folder / "index.json"
    content = json.loads(index.read_text())
    *above, key = place
    part = content
    for step in above:
        part = part[step]
    part[key] = value
    index.write_text(json.dumps(content))
    with pytest.raises(DamagedVolumesError, match=re.escape(told)):
        Volumes(index.parent).check()


@pytest.mark.parametrize("damage", ["truncated", "no index", "torn index", "older format"])
def test_a_damaged_folder_is_made_again(prepare: Prepare, damage: str) -> None:
    volumes = prepare()
    image = np.array(volumes["case_002"].image)
    index, data = volumes.folder / "index.json", volumes.folder / "volumes.bin"
    match damage:
        case "truncated":
            os.truncate(data, data.stat().st_size - 1)
        case "no index":
            index.unlink()
        case "torn index":
            index.write_text(index.read_text()[:100])
        case "older format":
            index.write_text(json.dumps(json.loads(index.read_text()) | {"format": 0}))
    with pytest.raises(DatasetError, match="volumes"):
        Volumes(volumes.folder)["case_002"]
    np.testing.assert_array_equal(prepare()["case_002"].image, image)


def test_an_index_names_arrays_of_numbers_alone(prepare: Prepare) -> None:
    volumes = prepare()
    index = volumes.folder / "index.json"
    content = json.loads(index.read_text())
    content["cases"][0]["label"]["dtype"] = "|O"  # pointers
    index.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"index\.json: no index of .* .holds no array of type '\|O'"):
        Volumes(volumes.folder)[content["cases"][0]["name"]]


PREPARE = """
import sys, time
from pathlib import Path
from trainables.layouts import read_dataset
from trainables.fingerprint import take_fingerprint
from trainables.preprocessing import plan_preprocessing
from trainables.targets import plan_targets
from trainables.volumes import prepare_volumes

def say_and_wait(done, total):
    print(done, flush=True)
    time.sleep(float(sys.argv[3]))

dataset = read_dataset(Path(sys.argv[1]))
found = take_fingerprint(dataset)
plan = plan_preprocessing(found, dataset.modalities)
targets = plan_targets(dataset.labels, None)
prepare_volumes(dataset, targets, plan, found, cache=Path(sys.argv[2]), progress=say_and_wait)
"""


def start_preparing(dataset: Dataset, cache: Path, *, seconds_a_case: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PREPARE, str(dataset.source), str(cache), str(seconds_a_case)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])


def test_a_killed_predecessor_is_survived(prepare: Prepare, dataset: Dataset, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    process = start_preparing(dataset, cache, seconds_a_case=60)
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    process.kill()
    process.communicate()
    (left,) = [path for path in cache.iterdir() if path.is_dir()]
    assert left.name.endswith(".partial")
    volumes = prepare()
    assert [path for path in cache.iterdir() if path.is_dir()] == [volumes.folder]
    assert all(volumes[name].label.any() for name in volumes.names)


def test_two_processes_at_once_do_the_work_once(prepare: Prepare, dataset: Dataset, tmp_path: Path) -> None:
    processes = [start_preparing(dataset, tmp_path / "cache", seconds_a_case=0.15) for _ in range(2)]
    printed = sorted(process.communicate()[0].split() for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert printed == [[], ["1", "2", "3", "4", "5", "6"]]
    volumes = prepare()
    assert all(volumes[name].label.any() for name in volumes.names)


@pytest.mark.data
def test_real_hippocampi(real_data: Path, tmp_path: Path) -> None:
    dataset = read_dataset(real_data / "Task04_Hippocampus")
    dataset = replace(dataset, cases=dataset.cases[:12])
    found = take_fingerprint(dataset)
    plan = plan_preprocessing(found, dataset.modalities)
    volumes = prepare_volumes(dataset, plan_targets(dataset.labels, None), plan, found, cache=tmp_path)
    for name in volumes.names:
        volume = volumes[name]
        assert volume.image.dtype == np.float16
        assert float(volume.image.astype(np.float32).mean()) == pytest.approx(0, abs=2e-3)
        assert float(volume.image.astype(np.float32).std()) == pytest.approx(1, abs=2e-3)
        assert min(len(voxels) for voxels in volume.foreground) > 300
