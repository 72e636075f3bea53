"""Scores a network on the validation cases, as many at once as the device is faster with."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from trainables.dice import dice_score
from trainables.inference import keep_largest_component, predict_encoded, predict_together
from trainables.levels import Stride
from trainables.precision import Precision
from trainables.resident import ResidentVolumes
from trainables.segmentation_config import SegmentationConfig
from trainables.volumes import Volumes
from trainables.windows import window_size, windows_at_once

Window = tuple[int, int, int]


def score_cases(
    network: nn.Module,
    volumes: Volumes,
    names: Sequence[str],
    *,
    config: SegmentationConfig,
    strides: Sequence[Stride],
    device: torch.device,
    precision: Precision,
    resident: ResidentVolumes | None = None,
) -> dict[str, dict[str, float]]:
    """Dice of each case of `names` and each class, by `network`'s segmentation in windows as `window_size` gives them.

    Cases that are seen whole in windows of one size go through the network together, `windows_at_once` of them: each
    case's result is the same up to rounding whichever others there are. `resident` has the images on the device.
    """
    encoded: dict[str, np.ndarray] = {}
    source = resident or volumes
    for window, at_once, group in _groups(volumes.shapes, names, config, strides, device):
        if not _holds(window, volumes.shapes[group[0]]):
            encoded[group[0]] = predict_encoded(
                network,
                source[group[0]].image,
                patch_size=window,
                targets=volumes.targets,
                device=device,
                precision=precision,
                overlap=config.overlap,
                at_once=at_once,
            )
            continue
        images = [source[name].image for name in group]
        predictions = predict_together(
            network, images, window=window, targets=volumes.targets, device=device, precision=precision
        )
        encoded.update(zip(group, predictions, strict=True))
    if config.largest_component:
        encoded = {name: keep_largest_component(found, volumes.targets) for name, found in encoded.items()}
    return {name: dice_score(encoded[name], np.asarray(volumes[name].label), volumes.targets) for name in names}


def _groups(
    shapes: Mapping[str, Sequence[int]],
    names: Sequence[str],
    config: SegmentationConfig,
    strides: Sequence[Stride],
    device: torch.device,
) -> Iterator[tuple[Window, int, list[str]]]:
    """Window, how many of it go through the network at once, and the cases that do; a case that is cut is alone."""
    by_window: defaultdict[Window, list[str]] = defaultdict(list)
    patch_size, batch_size = config.patch_size, config.batch_size
    for name in names:
        window = window_size(shapes[name], patch_size=patch_size, batch_size=batch_size, strides=strides)
        by_window[window].append(name)
    for window, of_window in by_window.items():
        at_once = windows_at_once(window, patch_size=patch_size, batch_size=batch_size, device_type=device.type)
        whole = [name for name in of_window if _holds(window, shapes[name])]
        for start in range(0, len(whole), at_once):
            yield window, at_once, whole[start : start + at_once]
        for name in of_window:
            if not _holds(window, shapes[name]):
                yield window, at_once, [name]


def _holds(window: Sequence[int], shape: Sequence[int]) -> bool:
    return all(part >= whole for part, whole in zip(window, shape, strict=True))
