"""Turns and stretches patches by random affine maps, so that a few cases stand for more shapes and positions."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

TILT_UP_TO = 3.0
"""A patch is not turned in a plane in which one spacing is this many times the other: between thick slices there is
nothing to interpolate from (nnU-Net's bound, Isensee et al. 2021)."""


def random_maps(
    rng: np.random.Generator, count: int, *, tilt: float, zoom: float, spacing: Sequence[float]
) -> np.ndarray:
    """`count` linear maps (count, 3, 3) in mm, from a place in the warped patch to the place whose value it takes.

    Each turns by up to `tilt` degrees either way in each plane, and stretches each axis by a factor of which the
    logarithm is uniform up to `zoom` either way.
    """
    maps = np.zeros((count, 3, 3))
    maps[:, range(3), range(3)] = np.exp(rng.uniform(-zoom, zoom, (count, 3)))
    for a, b in combinations(range(3), 2):
        angles = np.deg2rad(rng.uniform(-tilt, tilt, count))
        if max(spacing[a], spacing[b]) >= TILT_UP_TO * min(spacing[a], spacing[b]):
            continue
        turn = np.tile(np.eye(3), (count, 1, 1))
        turn[:, a, a] = turn[:, b, b] = np.cos(angles)
        turn[:, a, b], turn[:, b, a] = -np.sin(angles), np.sin(angles)
        maps = turn @ maps
    return maps


def warp(image: Tensor, label: Tensor, maps: np.ndarray, spacing: Sequence[float]) -> tuple[Tensor, Tensor]:
    """`image` (B, C, X, Y, Z) and `label` (B, X, Y, Z) under `maps` (B, 3, 3) in mm about the patches' centres.

    Images are interpolated linearly, labels take the nearest voxel; what comes from outside a patch is 0.
    """
    half = np.array([size * mm / 2 for size, mm in zip(label.shape[1:], spacing, strict=True)])
    relative = maps * half / half[:, None]  # torch's coordinates: -1 to 1 across the patch, last axis first
    theta = np.zeros((len(maps), 3, 4), np.float32)
    theta[:, :, :3] = relative[:, ::-1, ::-1]
    places = F.affine_grid(
        torch.from_numpy(theta).to(image.device, non_blocking=True), list(image.shape), align_corners=False
    )
    warped = F.grid_sample(image, places, mode="bilinear", align_corners=False)
    nearest = F.grid_sample(label[:, None].to(image.dtype), places, mode="nearest", align_corners=False)
    return warped, nearest[:, 0].to(label.dtype)
