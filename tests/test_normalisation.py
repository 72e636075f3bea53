import numpy as np
import pytest

from trainables.errors import SettingError
from trainables.normalisation import ChannelNormalisation, cut_out_background, normalise

ZSCORE = ChannelNormalisation(kind="zscore")


def brain(channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A skull-stripped ball, 0 around it and in a hole inside it; and where the outside is."""
    rng = np.random.default_rng(0)
    x, y, z = np.indices((24, 26, 22)) - 12
    inside = x**2 + y**2 + z**2 < 9**2
    hole = x**2 + y**2 + z**2 < 3**2
    image = np.where(inside & ~hole, rng.normal(500, 50, (channels, 24, 26, 22)), 0).astype(np.float32)
    return image, ~inside


def test_zscore_of_a_plain_volume_counts_every_voxel() -> None:
    image = np.random.default_rng(0).gamma(2, 100, (2, 12, 13, 14)).astype(np.float32)
    image[0, :, :, 3] = 0
    expected = np.stack([(channel - channel.mean()) / channel.std() for channel in image.astype(np.float64)])
    assert cut_out_background(image) is None
    normalise(image, [ZSCORE, ZSCORE], None)
    np.testing.assert_allclose(image, expected, atol=1e-4)


def test_zscore_of_a_stripped_volume_counts_the_inside_only() -> None:
    image, outside = brain()
    background = cut_out_background(image)
    assert background is not None
    np.testing.assert_array_equal(background, outside)
    raw = image[0][~outside].astype(np.float64)
    normalise(image, [ZSCORE], background)
    np.testing.assert_allclose(image[0][~outside], (raw - raw.mean()) / raw.std(), atol=1e-4)
    assert (image[0][outside] == 0).all()


def test_the_hole_of_a_stripped_volume_is_dark_not_average() -> None:
    image, _ = brain()
    normalise(image, [ZSCORE], cut_out_background(image))
    assert image[0, 12, 12, 12] < -2


def test_how_a_stripped_volume_is_framed_changes_nothing() -> None:
    image, _ = brain()
    framed = np.pad(image, ((0, 0), (5, 0), (1, 9), (3, 3)))
    normalise(image, [ZSCORE], cut_out_background(image))
    normalise(framed, [ZSCORE], cut_out_background(framed))
    np.testing.assert_allclose(framed[:, 5:, 1:-9, 3:-3], image, atol=1e-6)


def test_background_is_empty_in_every_channel() -> None:
    image, outside = brain(channels=2)
    image[1] += 1  # the second channel fills the volume
    assert cut_out_background(image) is None
    image[1][outside] = 0
    background = cut_out_background(image)
    assert background is not None
    np.testing.assert_array_equal(background, outside)


def test_an_empty_volume_has_no_background_and_stays_finite() -> None:
    image = np.zeros((1, 4, 4, 4), np.float32)
    assert cut_out_background(image) is None
    normalise(image, [ZSCORE], None)
    assert (image == 0).all()


def test_statistics_of_large_offsets_do_not_drown() -> None:
    image = (np.arange(8000, dtype=np.float32).reshape(1, 20, 20, 20) % 10) + 1e6
    normalise(image, [ZSCORE], None)
    assert abs(float(image.mean())) < 1e-3
    assert float(image.std()) == pytest.approx(1, abs=1e-3)


def test_ct_clips_then_standardises_whatever_the_background() -> None:
    image = np.array([-1000, -100, 40, 300, 0, 60], np.float32).reshape(1, 1, 2, 3)
    normalise(image, [ChannelNormalisation(kind="ct", low=-100, high=200, mean=50, std=25)], None)
    np.testing.assert_allclose(image.ravel(), [-6, -6, -0.4, 6, -2, 0.4], atol=1e-6)


def test_minmax_and_none() -> None:
    image = np.array([2, 4, 10, 6] * 2, np.float32).reshape(2, 1, 2, 2)
    normalise(image, [ChannelNormalisation(kind="minmax"), ChannelNormalisation(kind="none")], None)
    np.testing.assert_allclose(image.ravel(), [0, 0.25, 1, 0.5, 2, 4, 10, 6])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "log"}, "normalisation: 'log' is none of zscore, ct, minmax, none"),
        ({"kind": "ct", "low": 0}, "normalisation: ct needs low, high, mean and std"),
        ({"kind": "ct", "low": 5, "high": 1, "mean": 0, "std": 1}, "ct needs finite low <= high and std >= 0"),
        ({"kind": "ct", "low": 0, "high": 1, "mean": float("nan"), "std": 1}, "ct needs finite"),
        ({"kind": "zscore", "mean": 3}, "normalisation: zscore takes no low, high, mean or std"),
    ],
)
def test_rules(settings: dict, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        ChannelNormalisation(**settings)


def test_mapping_round_trip() -> None:
    ct = ChannelNormalisation(kind="ct", low=-10, high=90.5, mean=40, std=11)
    assert ct.to_mapping() == {"kind": "ct", "low": -10, "high": 90.5, "mean": 40, "std": 11}
    assert ChannelNormalisation.from_mapping(ct.to_mapping()) == ct
    assert ZSCORE.to_mapping() == {"kind": "zscore"}
