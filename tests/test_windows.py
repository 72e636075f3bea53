from trainables.windows import window_size

HALVED_TWICE = ((2, 2, 2), (2, 2, 2))


def test_a_volume_no_larger_than_a_batch_is_one_window_padded_to_the_strides() -> None:
    window = window_size((35, 50, 36), patch_size=(32, 48, 32), batch_size=2, strides=HALVED_TWICE)

    assert window == (36, 52, 36)  # 67,392 voxels; the batch has 98,304


def test_a_larger_volume_gets_windows_of_the_patch_size() -> None:
    window = window_size((35, 50, 36), patch_size=(32, 48, 32), batch_size=1, strides=HALVED_TWICE)

    assert window == (32, 48, 32)


def test_padding_counts() -> None:
    strides = ((2, 2, 1), (2, 2, 2))

    assert window_size((13, 16, 15), patch_size=(16, 16, 16), batch_size=1, strides=strides) == (16, 16, 16)
    assert window_size((13, 16, 17), patch_size=(16, 16, 16), batch_size=1, strides=strides) == (16, 16, 16)
    assert window_size((11, 16, 17), patch_size=(16, 16, 16), batch_size=1, strides=strides) == (12, 16, 18)
