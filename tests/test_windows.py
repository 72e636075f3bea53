"""Where windows lie and how large they are."""

from functools import partial
from itertools import pairwise

import pytest

from trainables.errors import SettingError
from trainables.windows import window_size, window_starts, windows_at_once

HALVED_TWICE = ((2, 2, 2), (2, 2, 2))
PATCH = partial(window_size, patch_size=(64, 96, 64), strides=HALVED_TWICE)


def test_windows_have_the_size_of_the_patch() -> None:
    assert PATCH((140, 200, 90)) == (64, 96, 64)


def test_an_axis_that_is_hardly_longer_than_the_patch_is_not_cut_but_padded_to_the_strides() -> None:
    assert PATCH((83, 200, 90)) == (84, 96, 64)
    assert PATCH((84, 200, 90)) == (64, 96, 64)  # 1.3 times 64 are 83.2
    assert PATCH((64, 97, 81)) == (64, 100, 84)


def test_a_volume_smaller_than_the_patch_is_one_window_of_its_own_size() -> None:
    assert PATCH((30, 40, 33)) == (32, 40, 36)


def test_strides_of_their_own_along_each_axis() -> None:
    strides = ((2, 2, 1), (2, 2, 2))
    assert window_size((61, 66, 65), patch_size=(64, 64, 64), strides=strides) == (64, 68, 66)


def test_the_deepest_level_keeps_more_than_one_voxel() -> None:
    assert window_size((4, 3, 2), patch_size=(8, 4, 4), strides=HALVED_TWICE) == (8, 4, 4)
    assert window_size((4, 3, 5), patch_size=(8, 4, 4), strides=HALVED_TWICE) == (4, 4, 8)


def test_as_few_windows_as_overlap_enough_spread_evenly() -> None:
    assert window_starts((35, 8, 5), (24, 8, 8), 0.25) == [(0, 0, 0), (11, 0, 0)]
    assert window_starts((16, 8, 8), (8, 8, 8), 0.5) == [(0, 0, 0), (4, 0, 0), (8, 0, 0)]
    assert window_starts((17, 8, 8), (8, 8, 8), 0.5) == [(0, 0, 0), (3, 0, 0), (6, 0, 0), (9, 0, 0)]
    assert window_starts((10, 8, 12), (8, 8, 8), 0.0) == [(0, 0, 0), (0, 0, 4), (2, 0, 0), (2, 0, 4)]


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("size", [8, 9, 23, 64, 65, 101])
def test_windows_cover_every_voxel_and_overlap_as_asked(size: int, overlap: float) -> None:
    part = 8
    starts = [x for x, _, _ in window_starts((size, 1, 1), (part, 1, 1), overlap)]

    assert starts[0] == 0
    assert starts[-1] == size - part
    assert all(0 < after - before <= max(1, part * (1 - overlap)) for before, after in pairwise(starts))


@pytest.mark.parametrize("overlap", [1.0, -0.1])
def test_an_overlap_out_of_range(overlap: float) -> None:
    with pytest.raises(SettingError) as error:
        window_starts((8, 8, 8), (8, 8, 8), overlap)
    assert str(error.value) == f"overlap: must be at least 0 and less than 1, got {overlap}"


def test_a_gpu_sees_several_windows_at_once_within_the_memory_of_two_batches() -> None:
    small = partial(windows_at_once, patch_size=(32, 48, 32), batch_size=4, device_type="cuda")
    assert small((40, 56, 40)) == 4  # 358,400 voxels of 393,216
    large = partial(windows_at_once, patch_size=(128, 128, 128), batch_size=4, device_type="cuda")
    assert large((128, 128, 128)) == 1
    assert large((256, 128, 128)) == 1
    assert large((64, 64, 64)) == 8


def test_a_cpu_sees_only_small_windows_together() -> None:
    at_once = partial(windows_at_once, patch_size=(128, 128, 128), batch_size=4, device_type="cpu")
    assert at_once((24, 32, 24)) == 7
    assert at_once((40, 56, 40)) == 1
    assert at_once((128, 128, 128)) == 1
