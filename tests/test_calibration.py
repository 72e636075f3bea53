"""What a trial costs: voxels counted as the network really sees them, and rates of real training."""

from math import prod

import numpy as np
import pytest
import torch

from trainables.inference import segment
from trainables.normalisation import ChannelNormalisation
from trainables.precision import resolve_precision
from trainables.preprocessing import PreprocessingPlan
from trainables.segmentation_config import SegmentationConfig
from trainables.targets import Targets
from trainables.windows import window_size
from tuner.calibration import Rate, evaluated_voxels, measure_rates, random_configurations, trial_cost
from tuner.pace import Job, Pace, time_job

SPACING = (1.0, 1.0, 1.0)
PLAN = PreprocessingPlan(spacing=SPACING, normalisation=(ChannelNormalisation(kind="zscore"),) * 2)
TARGETS = Targets(names=("whole", "core"), members=((1, 2), (2,)), regions=True)


class Counting(torch.nn.Module):
    """Counts the voxels that it is shown."""

    seen = 0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.seen += prod(image.shape[2:]) * len(image)
        return image.new_zeros(len(image), 2, *image.shape[2:])


@pytest.mark.parametrize(
    ("shape", "patch_size", "overlap"),
    [((20, 30, 18), 32, 0.5), ((40, 60, 33), 24, 0.5), ((50, 17, 64), 16, 0.25), ((64, 64, 64), 32, 0.0)],
)
def test_voxels_that_an_evaluation_sees(shape: tuple[int, int, int], patch_size: int, overlap: float) -> None:
    config = SegmentationConfig.from_mapping({"patch_size": patch_size, "overlap": overlap, "batch_size": 1})
    strides = config.network_config(spacing=SPACING, in_channels=1, out_channels=2).strides
    network = Counting()
    segment(
        network,
        [np.zeros((1, *shape), np.float32)],
        window=window_size(shape, patch_size=config.patch_size, strides=strides),
        targets=Targets(names=("a",), members=((1,),), regions=False),
        device="cpu",
        precision=resolve_precision("fp32", "cpu"),
        overlap=overlap,
    )
    assert evaluated_voxels(shape, config, SPACING) == network.seen


def test_rates_are_real_training() -> None:
    configurations = [{"patch_size": 16, "width": 4, "levels": 3, "batch_size": 2}]
    (rate,) = measure_rates(
        configurations,
        shape=(16, 20, 16),
        plan=PLAN,
        targets=TARGETS,
        device="cpu",
        threads=1,
        time_job=time_job,
    )
    assert 1e-9 < rate.training < 1e-3
    assert 1e-9 < rate.evaluation < 1e-3


def test_rates_a_voxel() -> None:
    """A batch of 2 patches of 16^3 are 8192 voxels; a volume of 16^3 is evaluated in one window of 4096."""

    def fake(job: Job) -> list[Pace]:
        return [Pace(step=8.192, evaluation=0.4096)]

    (rate,) = measure_rates(
        [{"patch_size": 16, "batch_size": 2}, {"patch_size": 16, "batch_size": 4}],
        shape=(16, 16, 16),
        plan=PLAN,
        targets=TARGETS,
        device="cpu",
        threads=1,
        time_job=fake,
    )
    assert rate.training == pytest.approx(1e-3)
    assert rate.evaluation == pytest.approx(1e-4)


def test_trial_cost_with_another_patch() -> None:
    config = SegmentationConfig.from_mapping({"patch_size": 16, "batch_size": 1})
    rate = Rate(configuration=config, training=2e-6, evaluation=1e-6)
    cost = trial_cost(rate, (64, 64, 64), spacing=SPACING, validation=[(60, 64, 57), (64, 64, 160)])
    assert cost.seconds_per_unit == 2e-6
    # The first volume fits in one window, the second takes three that overlap by a quarter or more.
    assert cost.evaluation_seconds == pytest.approx(4 * 64**3 * 1e-6)


def test_random_configurations_vary_what_costs() -> None:
    space = {
        "learning_rate": {"float": [1e-4, 1e-2], "log": True},
        "width": {"int": [8, 24], "step": 8},
        "network": {"choice": ["dynunet", "residual_unet"]},
    }
    base = {"learning_rate": 1e-3, "width": 16, "network": "dynunet", "levels": 4}
    drawn = random_configurations(space, base, 40)
    assert drawn[0] == base
    assert {config["width"] for config in drawn} == {8, 16, 24}
    assert {config["network"] for config in drawn} == {"dynunet", "residual_unet"}
    assert all(config["learning_rate"] == 1e-3 and config["levels"] == 4 for config in drawn)
