"""Intensity statistics: of voxels, and pooled over cases without the voxels."""

import numpy as np
import pytest

from trainables.intensity import QUANTILE_LEVELS, Intensity


def sample(seed: int, *, size: int, centre: float, spread: float) -> np.ndarray:
    return np.random.default_rng(seed).normal(centre, spread, size).astype(np.float32)


def test_statistics_of_voxels() -> None:
    values = np.arange(1001, dtype=np.float32).reshape(7, 11, 13)
    found = Intensity.of(values)
    assert (found.voxels, found.mean) == (1001, 500)
    assert found.std == pytest.approx(((1001**2 - 1) / 12) ** 0.5)
    np.testing.assert_allclose(found.quantiles, np.array(QUANTILE_LEVELS) * 1000, rtol=1e-5)
    assert [found.quantile(level) for level in (0, 0.005, 0.25, 0.995, 1)] == [0, 5, 250, 995, 1000]


def test_large_values_keep_their_spread() -> None:
    values = (1e6 + np.tile([0, 1], 500_000)).astype(np.float32)
    assert Intensity.of(values).std == pytest.approx(0.5)


def test_pooling_one_part_changes_nothing() -> None:
    for values in (sample(0, size=5000, centre=10, spread=3), np.repeat(np.array([1, 1, 5, 5, 5, 7], np.float32), 50)):
        part = Intensity.of(values)
        pooled = Intensity.pooled([part])
        assert (pooled.voxels, pooled.mean) == (part.voxels, part.mean)
        assert pooled.std == pytest.approx(part.std)
        np.testing.assert_allclose(pooled.quantiles, part.quantiles, rtol=1e-5)


def test_pooled_statistics_are_near_those_of_all_voxels() -> None:
    parts = [sample(seed, size=2000 * (seed + 1), centre=40 + 10 * seed, spread=20 + 5 * seed) for seed in range(6)]
    together = np.concatenate(parts)
    pooled = Intensity.pooled([Intensity.of(part) for part in parts])
    assert pooled.voxels == together.size
    assert pooled.mean == pytest.approx(together.mean(dtype=np.float64))
    assert pooled.std == pytest.approx(together.std(dtype=np.float64))
    exact = np.quantile(together, QUANTILE_LEVELS)
    # A share of the spread: the parts' distributions are taken as linear between 27 quantiles.
    np.testing.assert_allclose(np.array(pooled.quantiles[2:-2]), exact[2:-2], atol=0.03 * together.std())
    assert (pooled.quantiles[0], pooled.quantiles[-1]) == pytest.approx((exact[0], exact[-1]))


def test_whole_numbers_and_constants_pool() -> None:
    # 100 zeros and 300 sevens: the lower quarter is 0, the rest is 7.
    zeros, sevens = Intensity.of(np.zeros(100, np.float32)), Intensity.of(np.full(300, 7, np.float32))
    pooled = Intensity.pooled([zeros, sevens])
    assert [pooled.quantile(level) for level in (0.005, 0.1, 0.2, 0.3, 0.5, 0.995)] == [0, 0, 0, 7, 7, 7]
    assert (pooled.mean, pooled.std) == (5.25, pytest.approx(7 * 0.1875**0.5))


def test_quantiles_are_kept_short() -> None:
    assert Intensity.of(np.array([1 / 3, 1 / 3], np.float32)).quantiles[0] == 0.333333


def test_what_is_no_distribution() -> None:
    with pytest.raises(ValueError, match=r"^0 voxels with 27 quantiles$"):
        Intensity(voxels=0, mean=0, std=0, quantiles=(0,) * 27)
    with pytest.raises(ValueError, match=r"^5 voxels with 2 quantiles$"):
        Intensity(voxels=5, mean=0, std=0, quantiles=(0, 1))
