"""How far the surface of a segmentation lies from the true one: HD95 and normalised surface Dice, by MONAI.

Dice counts voxels, and so says little about a thin structure or a far-off speck; distances between surfaces do.
"""

import math
import warnings
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray

from trainables.errors import SettingError
from trainables.targets import Targets

PERCENTILE = 95.0


@dataclass(frozen=True, kw_only=True)
class SurfaceScore:
    """How well the surface of one class or region of one case was found."""

    hd95: float | None
    """mm: the 95th percentile of the distances from one surface to the other, the larger of both ways. 0 where a class
    is in neither (rightly left out); None where it is in one of them only, and no distance says how wrong that is."""

    nsd: float
    """0 to 1: the share of both surfaces, by area, that lies within the tolerance of the other. 1 where a class is in
    neither, 0 where it is in one of them only."""


def check_tolerance(tolerance: float) -> None:
    """Raises SettingError unless `tolerance` (mm) is a number from 0 on."""
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise SettingError(f"tolerance: must be 0 mm or more, got {tolerance:g}")


def surface_scores(
    prediction: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    targets: Targets,
    affine: np.ndarray,
    *,
    tolerance: float,
) -> dict[str, SurfaceScore]:
    """Of each class or region by name; both arrays (X, Y, Z) encoded, of one shape, with `affine` (4, 4) of their file.

    HD95 as MONAI's `compute_hausdorff_distance`: from the centres of voxels that have a face in common with what is
    outside. NSD as its `compute_surface_dice` with areas of the surface between voxels, which is what the Medical
    Segmentation Decathlon counts (Nikolov et al. 2021), right for voxels that are no cubes too; `tolerance` is in mm.
    """
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice  # a second to import

    spacing = tuple(float(mm) for mm in nib.affines.voxel_sizes(affine))
    scores = {}
    for index, name in enumerate(targets.names):
        found, true = targets.mask(prediction, index), targets.mask(truth, index)
        if not found.any() or not true.any():
            absent = not found.any() and not true.any()
            scores[name] = SurfaceScore(hd95=0.0 if absent else None, nsd=float(absent))
            continue
        box = _box(found | true)
        ours, theirs = (torch.from_numpy(np.pad(mask[box], 1))[None, None] for mask in (found, true))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module="monai")  # of MONAI's calls of itself
            hd95 = compute_hausdorff_distance(
                ours, theirs, include_background=True, percentile=PERCENTILE, spacing=spacing
            )
            nsd = compute_surface_dice(
                ours, theirs, [tolerance], include_background=True, spacing=spacing, use_subvoxels=True
            )
        scores[name] = SurfaceScore(hd95=float(hd95), nsd=float(nsd))
    return scores


def _box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box around what is True: of a small organ in a large scan nothing else is looked at."""
    ends = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return tuple(slice(int(found[0]), int(found[-1]) + 1) for found in ends)
