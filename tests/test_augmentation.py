import numpy as np
import pytest
import torch

from trainables.augmentation import Augmentation, rotation_planes
from trainables.errors import SettingError

SHAPE = (64, 2, 6, 6, 4)  # so that patches may be rotated in the first plane only


def changed(augmentation: Augmentation, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The image before, and image and label after; the label is the first channel's number of a voxel, modulo 251."""
    before = torch.arange(float(np.prod(SHAPE))).reshape(SHAPE)
    image = before.clone()
    label = (image[:, 0] % 251).to(torch.uint8)
    return before, *augmentation(image, label, np.random.default_rng(seed))


def test_without_strengths_nothing_changes() -> None:
    before, image, label = changed(Augmentation())

    assert torch.equal(image, before)
    assert torch.equal(label, (before[:, 0] % 251).to(torch.uint8))


@pytest.mark.parametrize(("flips", "axis"), [("x", 1), ("y", 2), ("z", 3)])
def test_about_half_of_the_patches_are_mirrored_along_the_axis(flips: str, axis: int) -> None:
    before, image, _ = changed(Augmentation(flips=flips))

    mirrored = sum(torch.equal(a, b.flip(axis)) for a, b in zip(image, before, strict=True))
    same = sum(torch.equal(a, b) for a, b in zip(image, before, strict=True))

    assert mirrored + same == 64
    assert 20 <= mirrored <= 44


def test_label_moves_with_the_image() -> None:
    _, image, label = changed(Augmentation(flips="xyz", rotations=1.0))

    assert torch.equal(label, (image[:, 0] % 251).to(torch.uint8))


def test_rotations_reach_all_three_turns_in_the_plane() -> None:
    before, image, _ = changed(Augmentation(rotations=1.0))

    counts = [
        sum(torch.equal(a, torch.rot90(b, turns, (1, 2))) for a, b in zip(image, before, strict=True))
        for turns in (1, 2, 3)
    ]

    assert sum(counts) == 64
    assert min(counts) >= 10


def test_rotations_is_the_share_of_rotated_patches() -> None:
    before, image, _ = changed(Augmentation(rotations=0.25))

    assert 8 <= sum(not torch.equal(a, b) for a, b in zip(image, before, strict=True)) <= 24


def test_tilt_and_zoom_warp_image_and_label_alike() -> None:
    image = torch.zeros(8, 1, 24, 24, 24)
    image[:, :, 4:20, 8:16, 8:16] = 1
    label = (image[:, 0] > 0).to(torch.uint8)

    warped, moved = Augmentation(tilt=30.0, zoom=0.3)(image.clone(), label.clone(), np.random.default_rng(0))

    assert all(not torch.equal(a, b) for a, b in zip(label, moved, strict=True))
    inside = warped[:, 0] > 0.5
    assert ((moved > 0) == inside).float().mean() > 0.99


def test_intensities_are_scaled_and_shifted_by_channel_within_their_strengths() -> None:
    rng = np.random.default_rng(1)
    before = torch.randn(200, 2, 3, 3, 3)
    scaled, shifted = before.clone(), before.clone()
    label = torch.zeros(200, 3, 3, 3, dtype=torch.uint8)

    Augmentation(intensity_scale=0.2)(scaled, label, rng)
    Augmentation(intensity_shift=0.3)(shifted, label, rng)

    factors = (scaled / before).flatten(2)
    offsets = (shifted - before).flatten(2)
    assert torch.allclose(factors, factors[..., :1].expand_as(factors), atol=1e-3)
    assert 0.8 - 1e-3 <= factors.min() < 0.82
    assert 1.18 < factors.max() <= 1.2 + 1e-3
    assert torch.allclose(offsets, offsets[..., :1].expand_as(offsets), atol=1e-5)
    assert offsets.min() < -0.28
    assert 0.28 < offsets.max() <= 0.3 + 1e-5
    assert not torch.allclose(factors[:, 0, 0], factors[:, 1, 0])
    assert not label.any()


def test_noise_has_a_spread_of_up_to_its_strength() -> None:
    image = torch.zeros(50, 1, 16, 16, 16)

    Augmentation(noise=0.5)(image, torch.zeros(50, 16, 16, 16, dtype=torch.uint8), np.random.default_rng(0))

    spread = image.flatten(1).std(dim=1)
    assert spread.max() < 0.52
    assert spread.max() > 0.4
    assert spread.min() < 0.1


def test_the_generator_decides_alone() -> None:
    everything = Augmentation(
        flips="xz", rotations=0.5, tilt=10.0, zoom=0.1, intensity_scale=0.1, intensity_shift=0.1, noise=0.1
    )

    first, again, other = changed(everything, 3), changed(everything, 3), changed(everything, 4)

    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])


def test_planes_need_equal_spacing_and_equal_patch_sizes() -> None:
    assert rotation_planes((1.0, 1.0, 1.0), (32, 32, 32)) == ((0, 1), (0, 2), (1, 2))
    assert rotation_planes((0.8, 0.8, 5.0), (32, 32, 32)) == ((0, 1),)
    assert rotation_planes((1.0, 1.0, 1.0), (32, 48, 32)) == ((0, 2),)
    assert rotation_planes((1.0, 1.04, 1.0), (32, 32, 16)) == ((0, 1),)
    assert rotation_planes((1.0, 1.06, 1.0), (32, 32, 16)) == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"flips": "xw"}, "flips: must be different letters out of xyz, or empty, got 'xw'"),
        ({"flips": "xx"}, "flips: must be different letters out of xyz, or empty, got 'xx'"),
        ({"rotations": 1.5}, "rotations: is a probability, from 0 to 1, got 1.5"),
        ({"tilt": 200.0}, "tilt: must be from 0 (off) to 180 degrees, got 200"),
        ({"zoom": -0.1}, "zoom: must be from 0 (off) to 1, got -0.1"),
        ({"intensity_scale": 2.0}, "intensity_scale: must be from 0 (off) to 1, got 2"),
        ({"noise": -0.1}, "noise: must be 0 (off) or more, got -0.1"),
        ({"intensity_shift": float("nan")}, "intensity_shift: must be 0 (off) or more, got nan"),
    ],
)
def test_bad_strengths_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(SettingError) as error:
        Augmentation(**settings)
    assert str(error.value) == message
