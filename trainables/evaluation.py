"""Segments and scores the validation cases, windows of several going through the network together."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from trainables.dice import dice_score
from trainables.inference import segment
from trainables.largest_component import keep_largest_component
from trainables.levels import Stride
from trainables.precision import Precision
from trainables.resident import ResidentVolumes
from trainables.segmentation_config import SegmentationConfig
from trainables.volumes import Volumes
from trainables.windows import Window, window_size, windows_at_once


def segment_cases(
    network: nn.Module,
    volumes: Volumes,
    names: Sequence[str],
    *,
    config: SegmentationConfig,
    strides: Sequence[Stride],
    device: torch.device,
    precision: Precision,
    resident: ResidentVolumes | None = None,
    passed: Callable[[], object] = lambda: None,
) -> dict[str, np.ndarray]:
    """`network`'s segmentation of each case of `names`, encoded, in windows as `window_size` gives them.

    `resident` has the images on the device. `passed` is called now and then, as windows have gone through the network.
    """
    by_window: defaultdict[Window, list[str]] = defaultdict(list)
    for name in names:
        by_window[window_size(volumes.shapes[name], patch_size=config.patch_size, strides=strides)].append(name)

    source = resident or volumes
    encoded: dict[str, np.ndarray] = {}
    for window, of_window in by_window.items():
        found = segment(
            network,
            (source[name].image for name in of_window),
            window=window,
            targets=volumes.targets,
            device=device,
            precision=precision,
            overlap=config.overlap,
            at_once=windows_at_once(
                window, patch_size=config.patch_size, batch_size=config.patches_at_once, device_type=device.type
            ),
            passed=passed,
        )
        encoded.update(zip(of_window, found, strict=True))
    if config.largest_component:
        encoded = {name: keep_largest_component(found, volumes.targets) for name, found in encoded.items()}
    return {name: encoded[name] for name in names}


def score_cases(found: Mapping[str, np.ndarray], volumes: Volumes) -> dict[str, dict[str, float]]:
    """Dice of each case and each class, by what `segment_cases` found."""
    return {
        name: dice_score(encoded, np.asarray(volumes[name].label), volumes.targets) for name, encoded in found.items()
    }
