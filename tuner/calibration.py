"""What trials of a proposed sweep cost on this machine, measured on made-up volumes of the data set's kind."""

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from search_spaces.parameters import Choice, Int
from search_spaces.space import parse_space
from trainables.preprocessing import PreprocessingPlan
from trainables.segmentation_config import SegmentationConfig
from trainables.targets import Targets
from trainables.volume_store import Volume, VolumeWriter
from trainables.windows import window_size, window_starts
from tuner.config import SEGMENTATION
from tuner.expectation import TrialCost
from tuner.pace import Job, Pace

MEASURING_SECONDS = 5.0
CONFIGURATIONS = 6
"""How many are timed at most: the first trial's, and random ones of the space."""

CPU_VOXELS = 120_000
"""The largest batch that is timed on a CPU core; larger ones take as long a voxel, and the user waits."""

TimeJob = Callable[[Job], list[Pace]]


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What a configuration was measured to take a voxel."""

    configuration: SegmentationConfig
    training: float
    """Seconds a voxel of a batch."""

    evaluation: float
    """Seconds a voxel of a window."""


def measure_rates(
    configurations: Sequence[Mapping[str, Any]],
    *,
    shape: tuple[int, int, int],
    plan: PreprocessingPlan,
    targets: Targets,
    device: str,
    threads: int,
    time_job: TimeJob,
) -> list[Rate]:
    """Train and evaluate the first configurations for some steps, as many as there is time for, at least one.

    Volumes are noise of `shape` voxels with every target somewhere in it; what they hold costs nothing.
    """
    parsed = [SegmentationConfig.from_mapping(configuration) for configuration in configurations]
    with tempfile.TemporaryDirectory(prefix="voxtune-") as folder:
        _write_volumes(Path(folder), shape, plan, targets)
        data = {"volumes": folder, "train": ["a", "b"], "validation": ["a"], "threads": threads}
        job = Job(
            trainable=SEGMENTATION,
            data=data,
            device=device,
            configurations=list(map(dict, configurations)),
            seconds=MEASURING_SECONDS,
        )
        paces = time_job(job)
    return [
        Rate(
            configuration=config,
            training=pace.step / (config.batch_size * prod(config.patch_size)),
            evaluation=pace.evaluation / evaluated_voxels(shape, config, plan.spacing),
        )
        for config, pace in zip(parsed, paces, strict=False)
    ]


def trial_cost(
    rate: Rate, patch_size: Sequence[int], *, spacing: Sequence[float], validation: Iterable[Sequence[int]]
) -> TrialCost:
    """What a trial costs with the patch size given, when it validates on volumes of these shapes."""
    x, y, z = patch_size
    config = SegmentationConfig.from_mapping({**rate.configuration.to_mapping(), "patch_size": [x, y, z]})
    voxels = sum(evaluated_voxels(shape, config, spacing) for shape in validation)
    return TrialCost(seconds_per_unit=rate.training, evaluation_seconds=voxels * rate.evaluation)


def evaluated_voxels(shape: Sequence[int], config: SegmentationConfig, spacing: Sequence[float]) -> int:
    """Voxels that the network sees of a volume of `shape`, those in the overlap of windows more than once."""
    strides = config.network_config(spacing=spacing, in_channels=1, out_channels=2).strides
    window = window_size(shape, patch_size=config.patch_size, strides=strides)
    return len(window_starts(shape, window, config.overlap)) * prod(window)


def random_configurations(space: Mapping[str, Any], base: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """`base`, and variants of it with random choices and whole numbers of `space`: what changes the cost of a step."""
    rng = np.random.default_rng(0)
    drawn = [dict(base)]
    for _ in range(count - 1):
        variant = dict(base)
        for name, parameter in parse_space(space).items():
            if isinstance(parameter, Choice):
                variant[name] = parameter.values[rng.integers(len(parameter.values))]
            elif isinstance(parameter, Int):
                step = parameter.step or 1
                variant[name] = parameter.low + step * int(rng.integers((parameter.high - parameter.low) // step + 1))
        drawn.append(variant)
    return drawn


def _write_volumes(folder: Path, shape: tuple[int, int, int], plan: PreprocessingPlan, targets: Targets) -> None:
    rng = np.random.default_rng(0)
    with VolumeWriter(folder) as writer:
        for name in ("a", "b"):
            image = rng.standard_normal((plan.channels, *shape), np.float32).astype(np.float16)
            label = np.zeros(shape, np.uint8)
            foreground = []
            for index in range(len(targets.names)):
                voxels = rng.integers(shape, size=(64, 3))
                label[tuple(voxels.T)] = 1 << index if targets.regions else index + 1
                foreground.append(voxels.astype(np.int32))
            writer.add(name, Volume(image, label, tuple(foreground)))
        writer.finish(plan=plan, targets=targets, modalities=["made up"] * plan.channels)
