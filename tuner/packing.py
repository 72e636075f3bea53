"""What one trial gets of a GPU: its whole, or a share that the largest configuration of the space still fits in.

One share for all trials of a sweep, since Ray Tune hands a warm process on only to a trial that asks for the same: with
shares by configuration processes were started over and over, and stood idle 85 % of the time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from random import Random
from typing import Any

from search_spaces.space import SearchSpace
from tuner.machine import CudaDevice

CONTEXT_GIB = 0.6
"""What a process takes of a GPU before torch's first tensor: CUDA's context and cuDNN's libraries. Assumed: no GPU was
at hand to measure it."""

USABLE = 0.95
"""Share of the free memory to divide; the rest goes to fragments of torch's allocator."""

MOST_ON_A_GPU = 4
"""More processes on a GPU take turns for its time without filling it better."""

MOST_ESTIMATES = 200
"""An estimate takes up to a second."""

Estimate = Callable[[Mapping[str, Any]], float | None]
"""Peak GiB of training a configuration; None where it can't be said."""


def memory_of_share(devices: Sequence[CudaDevice], gpus: float) -> float:
    """GiB that a trial with `gpus` of a GPU may take, on the fullest of the devices.

    What others hold there now is theirs: only free memory is divided.
    """
    free = min(device.free_gib for device in devices)
    return max(0.0, USABLE * free * min(1.0, gpus) - CONTEXT_GIB)


def gpus_per_trial(
    devices: Sequence[CudaDevice], *, space: SearchSpace, default: Mapping[str, Any], estimate: Estimate, most: int
) -> float:
    """The smallest share of a GPU, 1 over a whole number, that any configuration fits in that fits on one at all.

    Args:
        most: so many trials at once have the CPU cores they need.

    The whole GPU where memory can't be estimated, or nothing fits.
    """
    whole = memory_of_share(devices, 1)
    largest = largest_that_fits(space, default, estimate, limit_gib=whole)
    if largest is None:
        return 1.0
    together = [n for n in range(1, min(most, MOST_ON_A_GPU) + 1) if memory_of_share(devices, 1 / n) >= largest]
    return 1 / max(together, default=1)


def largest_that_fits(
    space: SearchSpace, default: Mapping[str, Any], estimate: Estimate, *, limit_gib: float
) -> float | None:
    """The largest estimate, in GiB, of a configuration within the limit; None if there is none."""
    found = estimates(space, default, estimate)
    return max((gib for gib in found if gib is not None and gib <= limit_gib), default=None)


def estimates(space: SearchSpace, default: Mapping[str, Any], estimate: Estimate) -> Iterator[float | None]:
    """The estimates of all combinations of the parameters that change one when changed alone (of a range both ends).

    Not more than MOST_ESTIMATES of them. The other parameters are the default configuration's, where it names them.
    """
    values = space.extremes()
    first = space.first(default)

    def need(point: Mapping[str, Any]) -> float | None:
        return estimate({**first, **point})

    needs = {name: {need({name: value}) for value in choices} for name, choices in values.items()}
    telling = [name for name, found in needs.items() if len(found) > 1]
    points = [dict(zip(telling, chosen, strict=True)) for chosen in product(*(values[name] for name in telling))]
    if len(points) > MOST_ESTIMATES:
        points = Random(0).sample(points, MOST_ESTIMATES)
    yield from map(need, points)
