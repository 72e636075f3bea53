"""Brings the intensities of each channel to a scale that a network can learn from."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, cast, get_args

import numpy as np

from trainables.errors import SettingError

NormalisationKind = Literal["zscore", "ct", "minmax", "none"]
NORMALISATION_KINDS: tuple[str, ...] = get_args(NormalisationKind)

MASKED_FACES = 0.5
"""The share of voxels on the six faces of a volume that must be exactly 0 for its background to count as cut out."""

SMALLEST_SCALE = 1e-8
"""Intensities are divided by no less, so that a constant channel becomes 0 everywhere, not NaN."""


@dataclass(frozen=True, kw_only=True)
class ChannelNormalisation:
    """What is done to the intensities of one channel."""

    kind: NormalisationKind
    """`zscore`: each volume by its own mean and standard deviation. `ct`: clip to `low`..`high`, then by the data
    set's `mean` and `std`; Hounsfield units mean the same in each scan. `minmax`: each volume to 0..1. `none`: as they
    are."""

    low: float | None = None
    high: float | None = None
    mean: float | None = None
    std: float | None = None
    """In the file's intensity units; all four for `ct`, none for the others."""

    def __post_init__(self) -> None:
        if self.kind not in NORMALISATION_KINDS:
            raise SettingError(f"normalisation: {self.kind!r} is none of {', '.join(NORMALISATION_KINDS)}")
        numbers = (self.low, self.high, self.mean, self.std)
        if self.kind != "ct":
            if any(number is not None for number in numbers):
                raise SettingError(f"normalisation: {self.kind} takes no low, high, mean or std, received {numbers}")
        elif self.low is None or self.high is None or self.mean is None or self.std is None:
            raise SettingError(f"normalisation: ct needs low, high, mean and std, received {numbers}")
        elif not (np.all(np.isfinite(np.array(numbers, np.float64))) and self.low <= self.high and self.std >= 0):
            raise SettingError(f"normalisation: ct needs finite low <= high and std >= 0, received {numbers}")

    def to_mapping(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        return cls(**mapping)


def normalise(image: np.ndarray, channels: Sequence[ChannelNormalisation], background: np.ndarray | None) -> None:
    """Normalise `image` (C, X, Y, Z) float32 in place, channel by channel.

    `background` (X, Y, Z) bool, from `cut_out_background`, takes no part in the statistics of `zscore` and `minmax`
    and becomes 0 there; None when the whole volume counts.
    """
    for channel, how in zip(image, channels, strict=True):
        match how.kind:
            case "none":
                continue
            case "ct":
                low, high, mean, std = cast(tuple[float, ...], (how.low, how.high, how.mean, how.std))
                np.clip(channel, np.float32(low), np.float32(high), out=channel)
                _standardise(channel, mean, std)
                continue
            case "zscore":
                inside = channel if background is None else channel[~background]
                _standardise(channel, inside.mean(dtype=np.float64), inside.std(dtype=np.float64))
            case "minmax":
                inside = channel if background is None else channel[~background]
                _standardise(channel, inside.min(), float(inside.max()) - float(inside.min()))
        if background is not None:
            channel[background] = 0


def cut_out_background(image: np.ndarray) -> np.ndarray | None:
    """Where the background of `image` (C, X, Y, Z) was cut out, as (X, Y, Z) bool; None when it was not.

    It was, as in skull-stripped brains, when at least half of the voxels on the faces of the (cropped) volume are
    exactly 0 in every channel: air in a plain scan is noisy, zeros come singly. The background is then all such voxels
    that hang together with the border; zeros inside (dark fluid) are signal. How much of it a volume has says how it
    was framed, not what is in it, so the statistics leave it out. Each volume is judged alone, a single image to
    predict like a whole data set.
    """
    faces = np.concatenate([~face.any(axis=0).ravel() for face in _faces(image)])
    if faces.mean() < MASKED_FACES or not image.any():
        return None
    from scipy import ndimage  # see `trainables.resampling`

    parts, count = ndimage.label(~image.any(axis=0))
    outside = np.zeros(count + 1, bool)
    for face in _faces(parts):
        outside[face] = True
    outside[0] = False  # the part numbered 0 is what is not empty
    return outside[parts]


def _standardise(channel: np.ndarray, centre: float, scale: float) -> None:
    channel -= np.float32(centre)
    channel /= np.float32(max(scale, SMALLEST_SCALE))


def _faces(volume: np.ndarray) -> list[np.ndarray]:
    """The six outermost planes of `volume` (..., X, Y, Z)."""
    return [volume.take(end, axis) for axis in (-3, -2, -1) for end in (0, -1)]
