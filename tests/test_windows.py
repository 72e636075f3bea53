from trainables.windows import window_size

HALVED_TWICE = ((2, 2, 2), (2, 2, 2))


def test_a_volume_of_up_to_two_batches_is_one_window_padded_to_the_strides() -> None:
    window = window_size((35, 50, 36), patch_size=(32, 48, 32), batch_size=1, strides=HALVED_TWICE)

    assert window == (36, 52, 36)  # 67,392 voxels; the batch has 49,152


def test_a_larger_volume_gets_windows_of_the_patch_size() -> None:
    window = window_size((70, 50, 36), patch_size=(32, 48, 32), batch_size=1, strides=HALVED_TWICE)

    assert window == (32, 48, 32)


def test_padding_counts() -> None:
    strides = ((2, 2, 1), (2, 2, 2))

    assert window_size((13, 16, 31), patch_size=(16, 16, 16), batch_size=1, strides=strides) == (16, 16, 32)
    assert window_size((13, 16, 33), patch_size=(16, 16, 16), batch_size=1, strides=strides) == (16, 16, 16)
    assert window_size((11, 16, 33), patch_size=(16, 16, 16), batch_size=1, strides=strides) == (12, 16, 34)


def test_the_deepest_level_keeps_more_than_one_voxel() -> None:
    assert window_size((4, 3, 2), patch_size=(8, 4, 4), batch_size=1, strides=HALVED_TWICE) == (8, 4, 4)
    assert window_size((4, 3, 5), patch_size=(8, 4, 4), batch_size=1, strides=HALVED_TWICE) == (4, 4, 8)
