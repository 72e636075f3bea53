from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from make_volumes import write_volumes

from trainables.augmentation import Augmentation
from trainables.patches import PatchSampler
from trainables.volumes import Volumes


def numbered(shape: tuple[int, int, int], case: int, channels: int = 1) -> np.ndarray:
    """Voxels that tell their case and place: case * 100,000 + flat index + 1; channel c is (c + 1) times that."""
    flat = np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape) + case * 100_000
    return np.stack([flat * (c + 1) for c in range(channels)])


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Volumes:
    """Cases a, b, c, of one size and one voxel of class 1 each, b with one of class 2 too, and d without any."""
    shape = (20, 24, 18)
    cases = {}
    for number, name in enumerate("abcd"):
        label = np.zeros(shape, np.uint8)
        if name != "d":
            label[10, 12, 9] = 1
        if name == "b":
            label[0, 0, 17] = 2
        cases[name] = (numbered(shape, number, channels=2), label)
    return write_volumes(tmp_path_factory.mktemp("patches") / "volumes", cases)


def sampler(volumes: Volumes, names: str = "abcd", **settings: object) -> PatchSampler:
    defaults = {
        "patch_size": (8, 8, 8),
        "batch_size": 2,
        "foreground_fraction": 1.0,
        "augmentation": Augmentation(),
        "seed": 0,
    }
    return PatchSampler(volumes, list(names), **(defaults | settings))


def test_a_patch_is_the_volume_at_its_place(volumes: Volumes) -> None:
    image, label = sampler(volumes, foreground_fraction=0.0, batch_size=16).draw()

    assert image.shape == (16, 2, 8, 8, 8)
    assert image.dtype == torch.float32
    assert label.shape == (16, 8, 8, 8)
    assert label.dtype == torch.uint8
    for patch, patch_label in zip(image.numpy(), label.numpy(), strict=True):
        case, index = divmod(int(patch[0, 0, 0, 0]) - 1, 100_000)
        x, y, z = np.unravel_index(index, (20, 24, 18))
        volume = volumes["abcd"[case]]
        assert np.array_equal(patch, volume.image[:, x : x + 8, y : y + 8, z : z + 8])
        assert np.array_equal(patch_label, volume.label[x : x + 8, y : y + 8, z : z + 8])


def test_foreground_patches_are_centred_on_a_target_and_stay_inside(volumes: Volumes) -> None:
    image, label = sampler(volumes, "a", batch_size=4).draw()
    assert (label[:, 4, 4, 4] == 1).all()

    image, label = sampler(volumes, "b", batch_size=40).draw()
    of_second = (label == 2).flatten(1).any(1)
    assert 10 <= of_second.sum() <= 30  # each target is as likely
    assert (label[of_second, 0, 0, 7] == 2).all()  # in the corner of the volume, so in the corner of the patch
    assert (image > 0).all()


def test_foreground_fraction_is_the_share_of_centred_patches(volumes: Volumes) -> None:
    _, label = sampler(volumes, "a", batch_size=400, foreground_fraction=0.25).draw()

    centred = (label[:, 4, 4, 4] == 1).float().mean()
    assert 0.2 < centred < 0.33


def test_a_case_without_targets_gives_patches_anywhere(volumes: Volumes) -> None:
    image, label = sampler(volumes, "d", batch_size=50).draw()

    assert not label.any()
    assert len(image[:, 0, 0, 0, 0].unique()) > 30


def test_each_case_is_seen_once_a_round(volumes: Volumes) -> None:
    stream = sampler(volumes, batch_size=2)
    orders = []
    for _ in range(10):
        values = torch.cat([stream.draw()[0][:, 0, 0, 0, 0] for _ in range(2)])
        orders.append(tuple(((values - 1) // 100_000).int().tolist()))

    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert len(set(orders)) > 3


def test_a_smaller_volume_is_padded_with_zeros(volumes: Volumes) -> None:
    image, label = sampler(volumes, "a", patch_size=(32, 24, 8), batch_size=30).draw()

    starts = set()
    for patch, patch_label in zip(image.numpy(), label.numpy(), strict=True):
        filled = np.flatnonzero(patch[0].any(axis=(1, 2)))
        assert len(filled) == 20
        assert np.ptp(filled) == 19
        x = filled[0]
        z = np.unravel_index(int(patch[0, x, 0, 0]) - 1, (20, 24, 18))[2]
        assert np.array_equal(patch[:, x : x + 20], volumes["a"].image[..., z : z + 8])
        assert np.array_equal(patch_label[x : x + 20], volumes["a"].label[..., z : z + 8])
        starts.add(int(x))
    assert min(starts) >= 0
    assert max(starts) <= 12


def test_the_stream_depends_on_the_seed_alone(volumes: Volumes) -> None:
    noisy = Augmentation(flips="xyz", noise=0.1)
    first, again = sampler(volumes, augmentation=noisy), sampler(volumes, augmentation=noisy)
    other = sampler(volumes, augmentation=noisy, seed=1)
    batches = [first.draw()[0] for _ in range(6)]

    assert all(torch.equal(batch, again.draw()[0]) for batch in batches)
    assert not all(torch.equal(batch, other.draw()[0]) for batch in batches)
    assert not any(torch.equal(a, b) for a, b in combinations(batches, 2))


def test_a_loaded_state_goes_on_where_it_was_taken(volumes: Volumes, tmp_path: Path) -> None:
    noisy = Augmentation(flips="xyz", noise=0.1)
    stream = sampler(volumes, augmentation=noisy, batch_size=3)
    for _ in range(5):
        stream.draw()
    torch.save(stream.state_dict(), tmp_path / "state.pt")
    expected = [stream.draw() for _ in range(3)]

    resumed = sampler(volumes, augmentation=noisy, batch_size=3)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))

    for image, label in expected:
        resumed_image, resumed_label = resumed.draw()
        assert torch.equal(image, resumed_image)
        assert torch.equal(label, resumed_label)
