"""How intensities are distributed, in a few numbers that can be pooled over cases without the voxels at hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

QUANTILE_LEVELS = (
    *(0.0, 0.001, 0.003, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5),
    *(0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.985, 0.99, 0.995, 0.997, 0.999, 1.0),
)
"""Close together in the tails, where CT intensities are clipped."""


@dataclass(frozen=True, kw_only=True)
class Intensity:
    """The distribution of the intensities of some voxels of one channel, in the file's own units."""

    voxels: int
    """How many were looked at, at least one."""

    mean: float
    std: float
    """Of the population: the divisor is `voxels`."""

    quantiles: tuple[float, ...]
    """At QUANTILE_LEVELS, to six significant digits."""

    def __post_init__(self) -> None:
        if self.voxels < 1 or len(self.quantiles) != len(QUANTILE_LEVELS):
            raise ValueError(f"{self.voxels} voxels with {len(self.quantiles)} quantiles")

    @classmethod
    def of(cls, values: np.ndarray) -> Self:
        """The distribution of `values`, float32 of any shape, not empty."""
        return cls(
            voxels=values.size,
            mean=float(values.mean(dtype=np.float64)),
            std=float(values.std(dtype=np.float64)),
            quantiles=_rounded(np.quantile(values, QUANTILE_LEVELS)),
        )

    @classmethod
    def pooled(cls, parts: Sequence[Self]) -> Self:
        """The distribution of all parts' voxels together, each voxel counted once.

        Mean and standard deviation are exact. The quantiles invert the weighted mean of the parts' cumulative
        distributions, each taken as linear between its own quantiles.
        """
        weights = np.array([part.voxels for part in parts], np.float64)
        weights /= weights.sum()
        means = np.array([part.mean for part in parts])
        mean = float(weights @ means)
        variance = float(weights @ (np.array([part.std for part in parts]) ** 2 + (means - mean) ** 2))
        return cls(
            voxels=sum(part.voxels for part in parts),
            mean=mean,
            std=variance**0.5,
            quantiles=_rounded(_pooled_quantiles(np.array([part.quantiles for part in parts]), weights)),
        )

    def quantile(self, level: float) -> float:
        """The intensity below which the share `level` (0 to 1) of the voxels lies, linear between QUANTILE_LEVELS."""
        return float(np.interp(level, QUANTILE_LEVELS, self.quantiles))


def _pooled_quantiles(quantiles: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Quantiles of a mixture, from those of its parts (N, levels) and their weights (N,)."""
    levels = np.array(QUANTILE_LEVELS)
    values = np.unique(quantiles)
    below, upto = np.zeros(len(values)), np.zeros(len(values))
    for weight, part in zip(weights, quantiles, strict=True):
        # Where a part's quantiles repeat (whole-numbered intensities do), its distribution jumps: interp gives the
        # upper end of the jump, and, with everything reversed, the lower end.
        upto += weight * np.interp(values, part, levels)
        below += weight * np.interp(-values, -part[::-1], levels[::-1])
    return np.interp(levels, np.stack([below, upto], axis=1).ravel(), np.repeat(values, 2))


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in values)
