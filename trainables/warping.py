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
    method = _by_lookup if image.device.type == "cpu" else _by_sampling
    return method(image, label, maps, spacing)


def _by_sampling(image: Tensor, label: Tensor, maps: np.ndarray, spacing: Sequence[float]) -> tuple[Tensor, Tensor]:
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


_AT_ONCE = 2**16
"""Voxels: as many fit into a core's cache with what is computed for each."""


def _by_lookup(image: Tensor, label: Tensor, maps: np.ndarray, spacing: Sequence[float]) -> tuple[Tensor, Tensor]:
    """What `_by_sampling` does, up to rounding, in 0.3 to 0.5 of its time on a CPU.

    torch's own goes voxel by voxel through both, with a check of its bounds at each of eight corners. Here the patches
    are padded once, so that there is nothing to check, and each corner is one look-up for all voxels.
    """
    sizes = label.shape[1:]
    # One 0 before, and two after, since the voxel after the last place is looked at too (and counts nothing).
    padded_image, padded_label = (F.pad(patches, (1, 2) * 3) for patches in (image, label))
    last = torch.tensor([size + 1.0 for size in sizes]).view(3, 1, 1, 1)
    along_x, along_y = padded_label.stride()[1:3]

    # Faster than whole numbers, and as exact up to 2^24.
    exact = torch.float32 if padded_label[0].numel() <= 2**24 else torch.float64

    def index(place: Tensor) -> Tensor:
        """In a padded patch's memory, of whole places (3, ...), which are overwritten."""
        x, y, z = place.flatten(1).to(exact)
        return x.mul_(along_x).add_(y, alpha=along_y).add_(z).int()

    warped, nearest = torch.empty_like(image), torch.empty_like(label)
    rows = max(1, _AT_ONCE // (sizes[1] * sizes[2]))
    for i, (by_x, by_y, by_z) in enumerate(zip(*_places(maps, sizes, spacing), strict=True)):
        by_yz = by_y[:, None, :, None] + by_z[:, None, None, :]
        for start in range(0, sizes[0], rows):
            part = slice(start, start + rows)
            place = by_x[:, part, None, None] + by_yz
            torch.minimum(place.clamp_(min=0), last, out=place)
            closest = index(place.round())
            torch.index_select(padded_label[i].view(-1), 0, closest, out=nearest[i, part].view(-1))
            corner = place.floor()
            x, y, z = place.sub_(corner).flatten(1)
            first = index(corner)
            for given, result in zip(padded_image[i], warped[i], strict=True):
                voxels = given.view(-1)
                near, above, behind, beyond = (
                    voxels[offset:].index_select(0, first).lerp_(voxels[offset + 1 :].index_select(0, first), z)
                    for offset in (0, along_y, along_x, along_x + along_y)
                )
                torch.lerp(near.lerp_(above, y), behind.lerp_(beyond, y), x, out=result[part].view(-1))
    return warped, nearest


def _places(maps: np.ndarray, sizes: Sequence[int], spacing: Sequence[float]) -> list[Tensor]:
    """For each axis d of the warped patches (B, 3, sizes[d]): what a voxel's index along d adds to its place.

    Places are counted in voxels of patches with one voxel of padding before the first.
    """
    in_voxels = maps * np.asarray(spacing) / np.asarray(spacing)[:, None]
    places = [in_voxels[:, :, d, None] * (np.arange(size) - (size - 1) / 2) for d, size in enumerate(sizes)]
    places[0] += np.array([(size + 1) / 2 for size in sizes])[:, None]
    return [torch.from_numpy(part.astype(np.float32)) for part in places]
