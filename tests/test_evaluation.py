"""The Dice of validation cases, whichever of them a forward pass holds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from make_data import blob_case
from make_volumes import write_volumes
from torch import Tensor, nn

from trainables import evaluation
from trainables.evaluation import score_cases, segment_cases
from trainables.precision import resolve_precision
from trainables.resident import ResidentVolumes
from trainables.segmentation_config import SegmentationConfig
from trainables.volumes import Volumes

CPU = torch.device("cpu")
SHAPES = [(20, 24, 18), (20, 23, 18), (12, 12, 16), (19, 24, 20), (60, 60, 60)]
STRIDES = ((2, 2, 2), (2, 2, 2))


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Volumes:
    """Three cases that share a window, one with its own, and one that is cut along each axis."""
    cases = {}
    for number, shape in enumerate(SHAPES):
        image, label = blob_case(number + 1, shape=shape)
        cases[f"case{number}"] = (image[None], label)
    return write_volumes(tmp_path_factory.mktemp("evaluation") / "volumes", cases)


class Threshold(nn.Module):
    """Class 1 where the image is above its windows' own mean, class 2 where it is far above. Notes what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, windows: Tensor) -> Tensor:
        self.seen.append(tuple(windows.shape))
        mean = windows.mean((1, 2, 3, 4), keepdim=True)
        return torch.cat([torch.zeros_like(windows), windows - mean, 2 * windows - 5 * mean], dim=1)


def score(volumes: Volumes, network: nn.Module, **options: Any) -> dict[str, dict[str, float]]:
    settings = {"levels": 3, "patch_size": (32, 32, 32), "batch_size": 1, **options.pop("settings", {})}
    given = {
        "config": SegmentationConfig(**settings),
        "strides": STRIDES,
        "device": CPU,
        "precision": resolve_precision("fp32", "cpu"),
        **options,
    }
    return score_cases(segment_cases(network, volumes, volumes.names, **given), volumes)


def test_each_case_has_the_dice_of_its_own_segmentation(volumes: Volumes) -> None:
    scores = score(volumes, network := Threshold())

    assert list(scores) == list(volumes.names)
    # As many windows at a time as there are, or as a CPU is faster with.
    assert network.seen == [(3, 1, 20, 24, 20), (1, 1, 12, 12, 16), *[(2, 1, 32, 32, 32)] * 13, (1, 1, 32, 32, 32)]
    image, label = (np.asarray(array, np.float32) for array in (volumes["case2"].image[0], volumes["case2"].label))
    found = np.stack([np.zeros_like(image), image - image.mean(), 2 * image - 5 * image.mean()]).argmax(0)
    for value in (1, 2):
        expected = 2 * ((found == value) & (label == value)).sum() / ((found == value).sum() + (label == value).sum())
        assert scores["case2"][f"class{value}"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_cases_that_share_a_forward_pass_keep_their_scores(
    volumes: Volumes, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    as_usual = score(volumes, Threshold())

    monkeypatch.setattr(evaluation, "windows_at_once", lambda *_, **__: at_once)
    otherwise = score(volumes, network := Threshold())

    for name in volumes.names:
        assert otherwise[name] == pytest.approx(as_usual[name], abs=1e-4)  # means of other batches round otherwise
    assert max(shape[0] for shape in network.seen) == at_once


def test_images_on_a_device_give_the_same(volumes: Volumes) -> None:
    resident = ResidentVolumes(volumes, CPU)
    assert score(volumes, Threshold(), resident=resident) == score(volumes, Threshold())


def test_only_the_largest_piece_counts_where_asked(tmp_path: Path) -> None:
    image = np.zeros((1, 16, 16, 16), np.float32)
    image[0, 2:6, 2:6, 2:6], image[0, 12, 12, 12] = 1, 1
    label = 2 * (image[0] > 0).astype(np.uint8)  # by the network's rule these are far above the mean
    label[12, 12, 12] = 0
    volumes = write_volumes(tmp_path / "volumes", {"case": (image, label)})

    assert score(volumes, Threshold())["case"]["class2"] == pytest.approx(2 * 64 / (64 + 65))
    assert score(volumes, Threshold(), settings={"largest_component": True})["case"]["class2"] == 1
