"""Between which values the images of the training lay, to tell an image that is of another kind."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from trainables.errors import SettingError
from trainables.fingerprint import Fingerprint
from trainables.normalisation import ChannelNormalisation

FAR = 10.0
"""An image whose values span so many times less, or more, than those of any in training is called odd."""

BELOW_ZERO = 0.05
"""The share of its span that an image must reach below 0, where none in training did: resampling leaves a little."""


@dataclass(frozen=True, kw_only=True)
class IntensityRange:
    """Of one channel over the images of a data set, in the files' own units."""

    lowest: tuple[float, float]
    """The smallest and the largest of the images' lowest values."""

    highest: tuple[float, float]
    """The same of their highest values."""

    foreground: tuple[float, float]
    """Between which 99 % of the labelled voxels lie."""

    def __post_init__(self) -> None:
        for pair in (self.lowest, self.highest, self.foreground):
            if len(pair) != 2 or not np.isfinite(pair).all() or pair[0] > pair[1]:
                raise SettingError(f"intensities: two finite numbers in rising order are needed, received {pair}")

    @classmethod
    def of(cls, fingerprint: Fingerprint, channel: int) -> Self:
        """Of the cases of `fingerprint`."""
        low = [case.minimum[channel] for case in fingerprint.cases]
        high = [case.maximum[channel] for case in fingerprint.cases]
        foreground = fingerprint.foreground(channel)
        return cls(
            lowest=(min(low), max(low)),
            highest=(min(high), max(high)),
            foreground=(foreground.quantile(0.005), foreground.quantile(0.995)),
        )

    def oddity(self, values: np.ndarray, how: ChannelNormalisation) -> str | None:
        """What is odd about an image's `values` of this channel, of any shape; None where nothing is.

        Where each image is scaled by itself (`zscore`, `minmax`) only the sign and the order of magnitude count; else
        (`ct`, `none`) a value means what it meant in training.
        """
        low, high = float(values.min()), float(values.max())
        goes = f"goes from {low:.5g} to {high:.5g}"
        least, most = self.highest[0] - self.lowest[1], self.highest[1] - self.lowest[0]
        if how.kind in ("ct", "none"):
            if high < self.foreground[0] or low > self.foreground[1]:
                between = " to ".join(f"{value:.5g}" for value in self.foreground)
                return f"{goes}; what is labelled in the training data lies at {between}"
            if low > self.lowest[1] + max(least, 0) / 4:
                return f"{goes}; every image of the training data goes down to {self.lowest[1]:.5g} or lower"
            return None
        if low < -BELOW_ZERO * (high - low) and self.lowest[0] >= 0:
            return f"{goes}; no image of the training data goes below {self.lowest[0]:.5g}"
        if high - low < least / FAR or high - low > most * FAR:
            return f"{goes}; the images of the training data span {max(least, 0):.5g} to {most:.5g}"
        return None

    def to_mapping(self) -> dict[str, list[float]]:
        """Plain types, for JSON."""
        return {key: list(pair) for key, pair in asdict(self).items()}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """What `to_mapping` gave. Raises SettingError for anything else."""
        match mapping:
            case {"lowest": [*_], "highest": [*_], "foreground": [*_]} if len(mapping) == 3 and all(
                type(value) in (int, float) for pair in mapping.values() for value in pair
            ):
                return cls(**{key: tuple(pair) for key, pair in mapping.items()})
        raise SettingError(f"intensities: lowest, highest and foreground are needed, received {dict(mapping)!r:.200}")


def intensity_ranges(fingerprint: Fingerprint) -> tuple[IntensityRange, ...]:
    """One a channel."""
    return tuple(IntensityRange.of(fingerprint, channel) for channel in range(fingerprint.channels))


def odd_channels(
    image: np.ndarray,
    ranges: Sequence[IntensityRange],
    normalisation: Sequence[ChannelNormalisation],
    names: Sequence[str],
) -> list[str]:
    """What is odd about each channel of `image` (C, X, Y, Z), beside the images of the training."""
    found = []
    for values, known, how, name in zip(image, ranges, normalisation, names, strict=True):
        if oddity := known.oddity(values, how):
            found.append(f"its {name} {oddity}: normalised already, or of another kind?")
    return found
