"""Volumes kept on a device: the same patches, shared by runs, and only where there is room. A CPU plays the GPU."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from make_volumes import write_blobs

from trainables import resident
from trainables.augmentation import Augmentation
from trainables.patches import PatchSampler
from trainables.resident import ResidentVolumes, resident_volumes
from trainables.volumes import Volumes

DEVICE = torch.device("cpu")
GIB = 2**30


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Volumes:
    return write_blobs(tmp_path_factory.mktemp("resident") / "volumes", channels=2)


@pytest.fixture(autouse=True)
def none_shared() -> Iterator[None]:
    resident._shared.clear()
    yield
    resident._shared.clear()


def test_patches_are_those_cut_on_the_host(volumes: Volumes) -> None:
    def sampler(source: Volumes | ResidentVolumes) -> PatchSampler:
        return PatchSampler(
            source,
            volumes.names[:4],
            patch_size=(16, 32, 16),  # larger than the volumes along one axis
            batch_size=3,
            foreground_fraction=0.5,
            augmentation=Augmentation(flips="x", tilt=10.0, noise=0.1),
            seed=0,
        )

    mapped, kept = sampler(volumes), sampler(ResidentVolumes(volumes, DEVICE))
    for _ in range(4):
        for expected, found in zip(mapped.draw(), kept.draw(), strict=True):
            assert torch.equal(expected, found)
            assert expected.dtype == found.dtype


def test_a_case_is_brought_once_as_it_is_on_the_disk(volumes: Volumes) -> None:
    kept = ResidentVolumes(volumes, DEVICE)
    case = kept["case_001"]

    assert kept["case_001"] is case
    assert np.array_equal(case.image.numpy(), volumes["case_001"].image)
    assert case.image.numpy().dtype == volumes["case_001"].image.dtype
    assert case.label.dtype == torch.uint8


def test_they_stay_where_data_and_run_fit_together(volumes: Volumes) -> None:
    names = volumes.names[:2]
    data = 2 * 20 * 24 * 18 * (2 * 4 + 1) / GIB  # two channels in float32, and the label

    kept = resident_volumes(volumes, names, DEVICE, run_gib=1.0, room_gib=1.0 + data)
    assert kept is not None
    again = resident_volumes(Volumes(volumes.folder), names, DEVICE, run_gib=0.5, room_gib=2.0)
    assert again is kept
    assert resident_volumes(volumes, volumes.names[:3], DEVICE, run_gib=1.0, room_gib=1.0 + data) is None
    assert resident_volumes(volumes, names, DEVICE, run_gib=0.5, room_gib=2.0) is not kept  # it was let go


def test_another_data_set_takes_their_place(volumes: Volumes, tmp_path: Path) -> None:
    other = write_blobs(tmp_path / "other")
    first = resident_volumes(volumes, volumes.names, DEVICE, run_gib=0.0, room_gib=1.0)
    second = resident_volumes(other, other.names, DEVICE, run_gib=0.0, room_gib=1.0)

    assert second is not first
    assert list(resident._shared.values()) == [second]
