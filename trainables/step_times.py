"""Times the parts of a training step: forward pass, loss, way back, optimizer; and says what memory it took."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import quantiles
from typing import Any

import torch
from torch import Tensor

from trainables.device import use_device
from trainables.graphed_step import WARM_UP
from trainables.losses import SegmentationLoss
from trainables.memory_errors import is_out_of_memory
from trainables.networks import NetworkConfig, build_network
from trainables.optimisation import build_optimizer
from trainables.precision import Precision
from trainables.training_step import TrainingStep

PARTS = ("forward", "loss", "backward", "optimizer")
FEWEST_STEPS = 3
_GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Of a part's seconds over the steps."""

    median: float
    low: float
    """The first quartile."""

    high: float
    """The third."""


@dataclass(frozen=True, kw_only=True)
class StepTimes:
    """What was measured of one network, patch size, batch size and precision."""

    steps: int = 0
    seconds: dict[str, Spread] = field(default_factory=dict)
    """By part, and `total`: each step's sum of them. Empty where it did not fit."""

    peak_gib: float | None = None
    """The most that torch held on the GPU; None on a CPU, where it can't be told from the rest of the process."""

    failure: str | None = None
    """`out of memory`."""


def time_step(
    network: NetworkConfig,
    *,
    patch_size: Sequence[int],
    batch_size: int,
    precision: Precision,
    regions: bool = False,
    steps: int = 50,
    seconds: float = 10.0,
) -> StepTimes:
    """Train on one batch of noise for up to `steps` steps or so many seconds, after warming up, and time each part.

    On a GPU by events on the device, which the host reads when all is done.
    """
    device = precision.device
    use_device(device)
    try:
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = build_network(network, device)
            image = torch.randn(batch_size, network.in_channels, *patch_size).to(device)
            label = torch.randint(0, network.out_channels, (batch_size, *patch_size), dtype=torch.uint8).to(device)
        step = TrainingStep(
            model,
            build_optimizer(model.parameters(), optimizer="adam"),
            SegmentationLoss("dice", regions),
            precision,
        )
        clock = _CudaClock() if device.type == "cuda" else _Clock()
        for _ in range(WARM_UP if device.type == "cuda" else 1):
            _step(step, model, image, label, clock)
        clock.wait()
        marks: list[list[Callable[[], float]]] = []
        ends = time.perf_counter() + seconds
        while len(marks) < steps and (len(marks) < FEWEST_STEPS or time.perf_counter() < ends):
            marks.append(_step(step, model, image, label, clock))
        clock.wait()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return StepTimes(failure="out of memory")
    each = [[seconds_of() for seconds_of in parts] for parts in marks]
    columns = dict(zip(PARTS, zip(*each, strict=True), strict=True))
    columns["total"] = tuple(map(sum, each))
    return StepTimes(
        steps=len(each),
        seconds={name: _spread(values) for name, values in columns.items()},
        peak_gib=torch.cuda.max_memory_allocated(device) / _GIB if device.type == "cuda" else None,
    )


def _step(
    step: TrainingStep, model: torch.nn.Module, image: Tensor, label: Tensor, clock: Any
) -> list[Callable[[], float]]:
    """One step; the seconds of its parts by `clock`, to be asked for when the device has done it."""
    model.zero_grad(set_to_none=True)
    marks = [clock.mark()]
    logits = step.forward(image)
    marks.append(clock.mark())
    loss = step.loss(logits, label)
    marks.append(clock.mark())
    step.backward(loss)
    marks.append(clock.mark())
    step.update()
    marks.append(clock.mark())
    return [clock.between(first, second) for first, second in pairwise(marks)]


class _Clock:
    """Of a device that is done when the host is."""

    def mark(self) -> float:
        return time.perf_counter()

    def between(self, first: float, second: float) -> Callable[[], float]:
        return lambda: second - first

    def wait(self) -> None:
        """Nothing is under way."""


class _CudaClock:
    """Of a GPU, which works on what the host has asked for long before."""

    def mark(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(self, first: torch.cuda.Event, second: torch.cuda.Event) -> Callable[[], float]:
        return lambda: first.elapsed_time(second) / 1e3

    def wait(self) -> None:
        torch.cuda.synchronize()


def _spread(values: Sequence[float]) -> Spread:
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return Spread(median=middle, low=low, high=high)
