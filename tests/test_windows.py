from functools import partial

from trainables.windows import ALWAYS_WHOLE, window_size, windows_at_once

HALVED_TWICE = ((2, 2, 2), (2, 2, 2))


def test_a_volume_of_up_to_two_batches_is_one_window_padded_to_the_strides() -> None:
    window = window_size((69, 99, 71), patch_size=(64, 96, 64), batch_size=1, strides=HALVED_TWICE)

    assert window == (72, 100, 72)  # 518,400 voxels; the batch has 393,216


def test_a_larger_volume_gets_windows_of_the_patch_size() -> None:
    window = window_size((140, 100, 72), patch_size=(64, 96, 64), batch_size=1, strides=HALVED_TWICE)

    assert window == (64, 96, 64)


def test_a_small_volume_is_one_window_however_small_the_patches() -> None:
    assert 48 * 52 * 52 < ALWAYS_WHOLE < 52 * 52 * 52
    assert window_size((48, 50, 49), patch_size=(8, 8, 8), batch_size=1, strides=HALVED_TWICE) == (48, 52, 52)
    assert window_size((49, 50, 49), patch_size=(8, 8, 8), batch_size=1, strides=HALVED_TWICE) == (8, 8, 8)


def test_padding_counts() -> None:
    strides = ((2, 2, 1), (2, 2, 2))
    of_batch = partial(window_size, patch_size=(64, 64, 64), batch_size=1, strides=strides)  # 524,288 voxels in two

    assert of_batch((61, 64, 127)) == (64, 64, 128)
    assert of_batch((61, 64, 129)) == (64, 64, 64)
    assert of_batch((57, 64, 129)) == (60, 64, 130)


def test_the_deepest_level_keeps_more_than_one_voxel() -> None:
    assert window_size((4, 3, 2), patch_size=(8, 4, 4), batch_size=1, strides=HALVED_TWICE) == (8, 4, 4)
    assert window_size((4, 3, 5), patch_size=(8, 4, 4), batch_size=1, strides=HALVED_TWICE) == (4, 4, 8)


def test_a_gpu_sees_several_windows_at_once_within_the_memory_of_two_batches() -> None:
    small = partial(windows_at_once, patch_size=(32, 48, 32), batch_size=4)
    assert small((40, 56, 40), device_type="cuda") == 4  # 358,400 voxels of 393,216
    assert small((40, 56, 40), device_type="cpu") == 1
    large = partial(windows_at_once, patch_size=(128, 128, 128), batch_size=4)
    assert large((128, 128, 128), device_type="cuda") == 1
    assert large((256, 128, 128), device_type="cuda") == 1
    assert large((64, 64, 64), device_type="cuda") == 8
