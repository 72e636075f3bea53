from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from trainables import warping
from trainables.warping import random_maps, warp

CUBIC = (1.0, 1.0, 1.0)


def turn(axis: int, degrees: float) -> np.ndarray:
    """The rotation about an axis as textbooks have it."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    a, b = [other for other in range(3) if other != axis]
    matrix = np.eye(3)
    matrix[a, a], matrix[a, b], matrix[b, a], matrix[b, b] = c, -s, s, c
    return matrix


@pytest.mark.parametrize("warp", [warping._by_lookup, warping._by_sampling])  # a CPU's way and a GPU's
@pytest.mark.parametrize("spacing", [CUBIC, (0.5, 1.0, 2.0)])
def test_warp_is_an_affine_map_in_mm_about_the_centre(spacing: tuple[float, float, float], warp: Any) -> None:
    rng = np.random.default_rng(0)
    image = ndimage.gaussian_filter(rng.normal(size=(14, 18, 10)), 1.5).astype(np.float32)
    label = (image > 0).astype(np.uint8)
    map_ = turn(0, 20) @ turn(2, -15) @ np.diag([1.1, 0.9, 1.2])

    warped, moved = warp(torch.from_numpy(image)[None, None], torch.from_numpy(label)[None], map_[None], spacing)

    in_voxels = np.diag(1 / np.array(spacing)) @ map_ @ np.diag(spacing)
    centre = (np.array(image.shape) - 1) / 2
    offset = centre - in_voxels @ centre
    expected = ndimage.affine_transform(image, in_voxels, offset, order=1, mode="grid-constant")
    assert np.allclose(warped[0, 0].numpy(), expected, atol=1e-5)
    nearest = ndimage.affine_transform(label, in_voxels, offset, order=0, mode="grid-constant")
    assert (moved[0].numpy() == nearest).mean() > 0.995  # halves may round either way
    assert moved.dtype == torch.uint8


def test_each_patch_has_its_own_map() -> None:
    image = torch.randn(2, 3, 8, 8, 8)
    label = (image[:, 0] > 0).to(torch.uint8)
    maps = np.stack([np.eye(3), turn(0, 90)])

    warped, moved = warp(image, label, maps, CUBIC)

    assert torch.allclose(warped[0], image[0], atol=1e-5)
    assert torch.equal(moved[0], label[0])
    assert torch.allclose(warped[1], torch.rot90(image[1], -1, (2, 3)), atol=1e-5)


def test_patches_warped_in_parts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.randn(2, 2, 9, 8, 7)
    label = (image[:, 0] > 0).to(torch.uint8)
    maps = random_maps(np.random.default_rng(0), 2, tilt=30.0, zoom=0.3, spacing=CUBIC)
    whole, whole_label = warp(image, label, maps, CUBIC)

    monkeypatch.setattr(warping, "_AT_ONCE", 2 * 8 * 7)
    parts, parts_label = warp(image, label, maps, CUBIC)

    assert torch.equal(parts, whole)
    assert torch.equal(parts_label, whole_label)


def test_maps_stay_within_tilt_and_zoom() -> None:
    rng = np.random.default_rng(0)

    stretches = random_maps(rng, 500, tilt=0.0, zoom=0.2, spacing=CUBIC)
    factors = stretches[:, range(3), range(3)]
    assert np.allclose(stretches * (1 - np.eye(3)), 0)
    assert np.exp(-0.2) <= factors.min() < np.exp(-0.19)
    assert np.exp(0.19) < factors.max() <= np.exp(0.2)

    turns = random_maps(rng, 500, tilt=10.0, zoom=0.0, spacing=CUBIC)
    assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3), atol=1e-12)
    angles = np.rad2deg(np.arccos((np.trace(turns, axis1=1, axis2=2) - 1) / 2))
    assert 10 < angles.max() < 18  # at most about the square root of 3 times the tilt


def test_patches_are_not_turned_across_thick_slices() -> None:
    maps = random_maps(np.random.default_rng(0), 50, tilt=20.0, zoom=0.0, spacing=(0.8, 0.8, 5.0))

    assert np.allclose(maps[:, 2], [0, 0, 1])
    assert np.allclose(maps[:, :, 2], [0, 0, 1])
    assert np.abs(maps[:, 0, 1]).max() > 0.3
