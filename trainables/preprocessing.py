"""What is done to every volume once, before any training: the plan for a data set, and the plan carried out.

In this order: orientation RAS, crop to the non-empty box, normalise, resample. Intensities are normalised on the voxels
that the scanner gave, where the border between a cut-out background and the body is still sharp.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, cast

import numpy as np

from trainables.errors import SettingError
from trainables.fingerprint import Fingerprint
from trainables.grid import Grid
from trainables.machine_memory import past_memory
from trainables.normalisation import (
    NORMALISATION_KINDS,
    ChannelNormalisation,
    NormalisationKind,
    cut_out_background,
    normalise,
)
from trainables.resampling import Spacing

MOST_VOXELS = 32767
"""Along one axis: a NIfTI-1 file holds no more."""

CT_NAMES = frozenset({"ct", "cta", "cect", "ncct", "cbct"})


@dataclass(frozen=True, kw_only=True)
class PreprocessingPlan:
    """What `preprocess_image` does. Training, validation and prediction of one model share one plan."""

    spacing: Spacing
    """mm between the network's voxels along left-right, posterior-anterior and inferior-superior."""

    normalisation: tuple[ChannelNormalisation, ...]
    """One a channel."""

    crop: bool = True
    """Cut off the border in which every channel is exactly 0."""

    def __post_init__(self) -> None:
        if len(self.spacing) != 3 or not all(math.isfinite(mm) and mm > 0 for mm in self.spacing):
            raise SettingError(f"spacing: three numbers above 0 (mm) are needed, received {self.spacing}")
        if not self.normalisation:
            raise SettingError("normalisation: one entry a channel is needed, received none")
        if type(self.crop) is not bool:
            raise SettingError(f"crop: must be true or false, received {self.crop!r}")

    @property
    def channels(self) -> int:
        return len(self.normalisation)

    def to_mapping(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return {
            "spacing": list(self.spacing),
            "normalisation": [channel.to_mapping() for channel in self.normalisation],
            "crop": self.crop,
        }

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """The plan that `to_mapping` wrote."""
        x, y, z = mapping["spacing"]
        channels = tuple(ChannelNormalisation.from_mapping(channel) for channel in mapping["normalisation"])
        return cls(spacing=(x, y, z), normalisation=channels, crop=mapping["crop"])


def plan_preprocessing(
    fingerprint: Fingerprint,
    modalities: Sequence[str],
    *,
    spacing: Literal["median"] | Sequence[float] = "median",
    normalisation: str = "auto",
) -> PreprocessingPlan:
    """A plan for the data set of `fingerprint`, whose channels are `modalities`.

    `spacing` in mm along the RAS axes, or the median of the cases along each axis. `normalisation` is a kind for all
    channels, or `auto`: `ct` for a channel whose modality is a CT, `zscore` for any other. Raises SettingError, also
    for a spacing that leaves nothing of the median volume, and DatasetError where `ct` finds no labelled voxel.
    """
    if len(modalities) != fingerprint.channels:
        raise SettingError(f"modalities: {len(modalities)} names for images of {fingerprint.channels} channels")
    if normalisation not in ("auto", *NORMALISATION_KINDS):
        raise SettingError(f"normalisation: {normalisation!r} is none of auto, {', '.join(NORMALISATION_KINDS)}")
    if isinstance(spacing, str):
        if spacing != "median":
            raise SettingError(f"spacing: median or three numbers (mm) are needed, received {spacing!r}")
        spacing = fingerprint.median_spacing
    if len(spacing) != 3:
        raise SettingError(f"spacing: three numbers above 0 (mm) are needed, received {tuple(spacing)}")
    x, y, z = (float(mm) for mm in spacing)
    kinds = [("ct" if _is_ct(name) else "zscore") if normalisation == "auto" else normalisation for name in modalities]
    channels = [
        _plan_ct(fingerprint, channel) if kind == "ct" else ChannelNormalisation(kind=cast(NormalisationKind, kind))
        for channel, kind in enumerate(kinds)
    ]
    plan = PreprocessingPlan(spacing=(x, y, z), normalisation=tuple(channels))
    _check_spacing(plan.spacing, fingerprint)
    return plan


def preprocess_image(image: np.ndarray, affine: np.ndarray, plan: PreprocessingPlan) -> tuple[np.ndarray, Grid]:
    """`image` (C, X, Y, Z) as its file has it, with its `affine` (4, 4), as the network sees it.

    Returns a new float32 array (C, X', Y', Z') and the grid that it lies on. Raises MemoryError where this machine has
    no room for that, as for voxels that the file says to be metres wide; AssertionError when the channels are not the
    plan's: whoever reads a user's file checks that first.
    """
    assert len(image) == plan.channels, f"{len(image)} channels, the plan has {plan.channels}"
    _, x, y, z = image.shape
    grid = Grid.of((x, y, z), affine, target_spacing=plan.spacing)
    oriented = grid.orient(image)
    if plan.crop:
        grid = grid.cropped_to_content(oriented)
    if too_much := past_memory(4 * len(image) * math.prod(grid.shape)):
        raise MemoryError(f"{' x '.join(map(str, grid.shape))} voxels take {too_much}")
    cropped = np.array(grid.crop(oriented), np.float32, order="C")
    normalise(cropped, plan.normalisation, cut_out_background(cropped))
    return grid.resample_image(cropped), grid


def preprocess_label(label: np.ndarray, grid: Grid) -> np.ndarray:
    """An encoded `label` (X, Y, Z) uint8, in the axes of the image's file, on the voxels of the preprocessed image."""
    assert label.shape == grid.file_shape, f"label {label.shape}, image {grid.file_shape}"
    return np.ascontiguousarray(grid.resample_label(grid.crop(grid.orient(label))))


def _check_spacing(spacing: Spacing, fingerprint: Fingerprint) -> None:
    """Raises SettingError where the median volume would be a single voxel thick, or larger than a file can be."""
    median = fingerprint.median_shape(), fingerprint.median_spacing
    for axis, size, have, wanted in zip("xyz", *median, spacing, strict=True):
        if not min(2, size) - 0.5 <= size * have / wanted < MOST_VOXELS + 0.5:
            raise SettingError(
                f"spacing: must leave the median volume 2 to {MOST_VOXELS} voxels along each axis; got {wanted:g} mm "
                f"along {axis}, where it has {size} of {have:.3g} mm"
            )


def _plan_ct(fingerprint: Fingerprint, channel: int) -> ChannelNormalisation:
    """Clip to the 0.5 and 99.5 percentiles of the labelled voxels, as nnU-Net does (Isensee et al. 2021)."""
    found = fingerprint.foreground(channel)
    low, high = found.quantile(0.005), found.quantile(0.995)
    return ChannelNormalisation(kind="ct", low=low, high=high, mean=found.mean, std=found.std)


def _is_ct(modality: str) -> bool:
    return any(word in CT_NAMES for word in modality.lower().replace("-", " ").replace("_", " ").split())
