"""Which number format and memory layout trains a network fastest on a device and still agrees with fp32: measured.

On one card fp16 halves a step, on the next a library's fault makes it four times as long, on a processor without the
instructions bf16 is emulated. So before a sweep a few steps of its own network are made in every format there is.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from math import isfinite, prod
from typing import Any

import torch
from torch import Tensor

from trainables.device import device_name, use_device
from trainables.errors import SettingError, first_line
from trainables.graphed_step import WARM_UP, GraphedStep
from trainables.known_faults import convolution_fault, cudnn_version
from trainables.levels import patch_divisors
from trainables.losses import SegmentationLoss
from trainables.memory_errors import is_out_of_memory
from trainables.networks import MEMORY_FORMATS, NetworkConfig, build_network, network_layout
from trainables.optimisation import build_optimizer
from trainables.precision import HALF, Precision, available_precisions, resolve_precision
from trainables.precision_table import FormatCheck, PrecisionCheck
from trainables.training_step import TrainingStep

STEPS = 5
"""That are timed, after warming up; fewer where they take SECONDS."""

SECONDS = 1.0

MOST_SECONDS = 60.0
"""Of the whole check; what is not done by then is left out."""

SLOW = 3.0
"""Times fp32: a format whose convolutions take longer on a processor is emulated there, and not tried any further."""

LARGEST_ON_CPU = 2**15
"""Voxels of a patch, and two patches a batch: more take a processor long, and tell no more of it."""

_SCALE = {"fp16": 2.0**10}
"""Of the loss, so that small gradients don't vanish in fp16."""


def check_precisions(
    network: NetworkConfig,
    *,
    patch_size: Sequence[int],
    batch_size: int,
    regions: bool = False,
    device: torch.device | str,
    precisions: Sequence[str] | None = None,
) -> PrecisionCheck:
    """Train `network` a few steps in each of `precisions` (default: all that the device has) and each memory layout.

    Takes seconds, a minute at most, and on the device the memory of a step. Where the batch does not fit in fp32 it is
    one patch; a CPU is given up to two patches of up to LARGEST_ON_CPU voxels, and one core.
    """
    device = torch.device(device)
    use_device(device)
    network = replace(network, dropout=0.0)  # which draws other channels in each format
    if device.type == "cpu":
        patch_size, batch_size = _small(patch_size, patch_divisors(network.strides)), min(batch_size, 2)
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)  # what others do on the machine then hardly counts, see `_seconds`
    try:
        rows, fitting = _rows(network, patch_size, batch_size, regions, device, precisions)
    finally:
        torch.set_num_threads(before)
    return PrecisionCheck(
        device=device_name(device),
        patch_size=tuple(patch_size),
        batch_size=fitting,
        rows=tuple(rows),
        fault=_fault() if device.type == "cuda" else None,
    )


def _rows(
    network: NetworkConfig,
    patch_size: Sequence[int],
    batch_size: int,
    regions: bool,
    device: torch.device,
    precisions: Sequence[str] | None,
) -> tuple[list[FormatCheck], int]:
    """The formats' rows, fp32 first since the others are compared with it, and the batch size that they are for."""
    others = [name for name in precisions or available_precisions(device) if name != "fp32"]
    usual = network_layout(device.type)
    layouts = sorted(MEMORY_FORMATS, key=lambda name: MEMORY_FORMATS[name] != usual)
    ends = time.perf_counter() + MOST_SECONDS
    rows: list[FormatCheck] = []
    for fitting in dict.fromkeys((batch_size, 1)):
        batch = _batch(network, patch_size, fitting, regions, device)
        rows, reference = [], None
        for name, layout in product(("fp32", *others), layouts):
            if name != "fp32" and reference is None:
                break  # nothing to compare with
            if time.perf_counter() > ends:
                rows.append(FormatCheck(precision=name, memory_format=layout, failure="left out for time"))
                continue
            row, gradient = _row(network, resolve_precision(name, device), layout, batch, regions, reference)
            rows.append(row)
            if name == "fp32" and reference is None:
                reference = gradient
        if reference is not None:
            break
    return rows, fitting


def _row(
    config: NetworkConfig,
    precision: Precision,
    layout: str,
    batch: tuple[Tensor, Tensor],
    regions: bool,
    reference: Tensor | None,
) -> tuple[FormatCheck, Tensor | None]:
    """A format's row, and its gradient."""

    def row(**found: Any) -> FormatCheck:
        return FormatCheck(precision=precision.name, memory_format=layout, **found)

    device = precision.device
    if device.type == "cpu" and precision.name in HALF:
        slower = _slower_convolution(config.width, HALF[precision.name])
        if slower > SLOW:
            return row(failure=f"emulated here: a convolution takes {slower:.0f} times as long as in fp32"), None
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = build_network(config, device, memory_format=layout)
        gradient = _gradient(network, precision, batch, regions)
        step = TrainingStep(
            network,
            build_optimizer(network.parameters(), optimizer="adamw"),
            SegmentationLoss("dice_ce", regions),
            precision,
        )
        seconds = _seconds(GraphedStep(step) if device.type == "cuda" else step, batch)
    except (RuntimeError, SettingError) as error:
        what = "out of memory" if is_out_of_memory(error) else first_line(error)
        return row(failure=what), None
    expected = gradient if reference is None else reference
    distance = float((gradient - expected).norm() / expected.norm())
    return row(step_seconds=seconds, gradient_error=distance if isfinite(distance) else None), gradient


def _slower_convolution(width: int, half: torch.dtype) -> float:
    """How many times as long as in fp32 a 3x3x3 convolution of `width` channels takes in `half` on this processor."""
    seconds = {}
    for dtype in (torch.float32, half):
        convolution = torch.nn.Conv3d(width, width, 3, padding=1).to(dtype)
        features = torch.zeros(1, width, 16, 16, 16, dtype=dtype)
        times = []
        with torch.no_grad():
            for _ in range(3):
                started = time.thread_time()
                convolution(features)
                times.append(time.thread_time() - started)
        seconds[dtype] = min(times)
    return seconds[half] / seconds[torch.float32]


def _small(patch_size: Sequence[int], divisors: Sequence[int]) -> tuple[int, ...]:
    """`patch_size`, its longest axis halved until no more than LARGEST_ON_CPU voxels are left, or nothing to halve."""
    size = list(patch_size)
    while prod(size) > LARGEST_ON_CPU:
        axis = max((a for a in range(3) if size[a] >= 4 * divisors[a]), key=lambda a: size[a], default=None)
        if axis is None:
            break
        size[axis] = max(2, size[axis] // (2 * divisors[axis])) * divisors[axis]
    return tuple(size)


def _batch(
    network: NetworkConfig, patch_size: Sequence[int], size: int, regions: bool, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Smooth noise, and labels that follow it: gradients are then as large as early in training."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(size, network.in_channels, *patch_size, generator=generator)
    smooth = torch.nn.functional.avg_pool3d(image[:, :1], 3, stride=1, padding=1)[:, 0]
    label = (smooth > 0.2).to(torch.uint8) + (0 if regions else (smooth > 0.4).to(torch.uint8)) * (
        network.out_channels > 2
    )
    return image.to(device), label.to(device)


def _gradient(network: torch.nn.Module, precision: Precision, batch: tuple[Tensor, Tensor], regions: bool) -> Tensor:
    """Of all parameters, in one vector on the host."""
    image, label = batch
    scale = _SCALE.get(precision.name, 1.0)
    with precision.autocast():
        logits = network(image)
    (SegmentationLoss("dice_ce", regions)(logits, label) * scale).backward()
    parts = [parameter.grad.flatten() / scale for parameter in network.parameters() if parameter.grad is not None]
    return torch.cat(parts).float().cpu()


def _seconds(step: TrainingStep | GraphedStep, batch: tuple[Tensor, Tensor]) -> float:
    """Seconds of a step when nothing else disturbs it: the shortest of a few.

    On a CPU of its thread's processor time: Ray starts meanwhile, and others may work there too.
    """
    cuda = batch[0].device.type == "cuda"
    clock = time.perf_counter if cuda else time.thread_time

    def timed() -> float:
        started = clock()
        step(*batch, learning_rate=1e-4)
        if cuda:
            torch.cuda.synchronize()
        return clock() - started

    for _ in range(WARM_UP + 2 if cuda else 1):
        timed()
    times: list[float] = []
    while len(times) < STEPS and sum(times) < SECONDS:
        times.append(timed())
    return min(times)


def _fault() -> str | None:
    return convolution_fault(torch.__version__, cudnn_version(torch.backends.cudnn.version()))
