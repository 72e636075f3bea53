"""One label on the file's voxels, from probabilities on voxels of other sizes."""

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.grid import Grid
from trainables.merging import Part, merge
from trainables.targets import Targets

BALL = Targets(names=("ball",), members=((1,),), regions=False)
CLASSES = Targets(names=("a", "b"), members=((1,), (2,)), regions=False)
REGIONS = Targets(names=("whole", "core"), members=((1, 2), (2,)), regions=True)


def part(probabilities: Tensor, *, file: tuple[int, int, int], spacing: float, share: float = 1.0) -> Part:
    """On a file of voxels of 1 mm and `file` shape; probabilities on voxels of `spacing` mm."""
    grid = Grid.of(file, np.eye(4), target_spacing=(spacing, spacing, spacing))
    return Part(probabilities=probabilities * share, grid=grid, share=share)


def ball_at(spacing: float, *, size: int = 32, softness: float = 1.0) -> Tensor:
    """(2, ...) probabilities of a ball of 10 mm radius in a cube of `size` mm, as sure as a network is at a border."""
    centres = (torch.arange(round(size / spacing)) + 0.5) * spacing - size / 2
    x, y, z = torch.meshgrid(centres, centres, centres, indexing="ij")
    inside = torch.sigmoid((10 - (x**2 + y**2 + z**2).sqrt()) / softness)
    return torch.stack([1 - inside, inside])


def dice(found: np.ndarray, true: np.ndarray) -> float:
    return 2 * float((found & true).sum()) / (int(found.sum()) + int(true.sum()))


@pytest.mark.parametrize(("spacing", "least"), [(0.8, 0.995), (1.6, 0.99), (2.0, 0.98)])
def test_a_ball_seen_on_other_voxels_keeps_its_surface(spacing: float, least: float) -> None:
    truth = merge([part(ball_at(1), file=(32, 32, 32), spacing=1)], BALL)
    found = merge([part(ball_at(spacing), file=(32, 32, 32), spacing=spacing)], BALL)
    assert found.dtype == np.uint8
    assert truth.sum() == pytest.approx(4 / 3 * np.pi * 1000, rel=0.01)
    assert dice(found, truth) > least


def test_networks_of_several_spacings_are_averaged() -> None:
    """One is sure of class a in its half, the other of class b everywhere: the surer wins in each voxel."""
    fine, coarse = torch.zeros(3, 4, 4, 4), torch.zeros(3, 2, 2, 2)
    fine[0], fine[1, :2], fine[0, :2] = 1, 0.9, 0.1
    coarse[2], coarse[0] = 0.6, 0.4
    found = merge(
        [
            part(fine, file=(4, 4, 4), spacing=1, share=0.5),
            part(coarse, file=(4, 4, 4), spacing=2, share=0.5),
        ],
        CLASSES,
    )
    # In the first half 0.45 for a against 0.3 for b and 0.25 for neither, in the second 0.7 for neither.
    assert np.unique(found[:2]).tolist() == [1]
    assert np.unique(found[2:]).tolist() == [0]


def test_regions_are_bits_wherever_they_are_more_likely_than_not() -> None:
    probabilities = torch.zeros(2, 2, 2, 2)
    probabilities[0], probabilities[1, 1] = 0.6, 0.7
    for spacing in (1.0, 2.0):
        size = round(2 * spacing)
        found = merge([part(probabilities, file=(size, size, size), spacing=spacing)], REGIONS)
        assert np.unique(found[0]).tolist() == [1]
        assert np.unique(found[-1]).tolist() == [3]


def test_what_one_plan_cut_off_is_background_to_it() -> None:
    image = np.zeros((1, 6, 4, 4))
    image[0, 2:] = 1
    whole = Grid.of((6, 4, 4), np.eye(4), target_spacing=(1, 1, 1))
    cut, seen = torch.zeros(2, 4, 4, 4), torch.zeros(2, 6, 4, 4)
    cut[1], seen[1] = 0.5, 0.3
    cut[0], seen[0] = 0, 0.2
    found = merge(
        [
            Part(probabilities=cut, grid=whole.cropped_to_content(image), share=0.5),
            Part(probabilities=seen, grid=whole, share=0.5),
        ],
        BALL,
    )
    # Where it was cut off 0.3 for the ball against 0.2 + 0.5; elsewhere 0.8 against 0.2.
    assert found[:, 0, 0].tolist() == [0, 0, 1, 1, 1, 1]


def test_only_the_largest_piece_stays_where_asked() -> None:
    probabilities = torch.zeros(2, 7, 1, 1)
    probabilities[1, :, 0, 0] = torch.tensor([1, 0, 1, 1, 1, 0, 1])
    probabilities[0] = 1 - probabilities[1]
    pieces = [part(probabilities, file=(7, 1, 1), spacing=1)]
    assert merge(pieces, BALL).ravel().tolist() == [1, 0, 1, 1, 1, 0, 1]
    assert merge(pieces, BALL, largest_component=True).ravel().tolist() == [0, 0, 1, 1, 1, 0, 0]
