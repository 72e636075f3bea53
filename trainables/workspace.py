"""What a device takes beside tensors: workspace of its libraries, gaps between tensors, and what comes before both.

None of it can be computed, so it is fitted: a few steps are run on the device, and what they took beyond their tensors
is explained by two amounts that a trace knows (`trainables.memory_trace`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from trainables.augmentation import Augmentation
from trainables.losses import SegmentationLoss
from trainables.memory_limit import MemoryMeter, resident_gib
from trainables.memory_live import Held
from trainables.memory_trace import held_by_step
from trainables.networks import NetworkConfig, build_network, level_strides
from trainables.precision import HALF, resolve_precision

_GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """Fitted for a device or a kind of device."""

    baseline_gib: float
    """What a process holds before it trains: libraries, and on a GPU its context."""

    of_convolution: float
    """Share of what the largest convolution reads and writes that its workspace and copies take."""

    of_heap: float
    """Share of the most that small storages take together, which is lost in gaps between them."""

    def bytes_for(self, held: Held) -> float:
        """For a step that holds `held`."""
        return self.of_convolution * held.largest_convolution + self.of_heap * held.heap


WORKSPACES = {
    "cpu": Workspace(baseline_gib=0.47, of_convolution=0.35, of_heap=0.42),
    "cuda": Workspace(baseline_gib=0.5, of_convolution=0.4, of_heap=0.0),
}
"""By type of device. `cpu` was fitted by `benchmarks/memory_estimate.py --fit` for torch 2.13 with oneDNN 3.12, glibc
2.36 and one thread of an AMD EPYC with AVX2. `cuda` is an assumption until `fit_workspace` has run on a GPU."""

MONAI_GIB = 0.1
"""What importing MONAI's networks adds to a process, on top of the baseline."""

_DRY_RUNS = (
    ("unet3d", 8, (64, 64, 64), 1),
    ("unet3d", 16, (48, 48, 48), 2),
    ("compact_unet", 8, (64, 64, 64), 2),
    ("compact_unet", 16, (64, 64, 64), 1),
)
"""Network, width, patch size and batch size of steps that differ in how large their convolutions and heaps are."""


def fit_workspace(device: torch.device | str, precision: str = "auto") -> Workspace:
    """The Workspace of `device` as it is now, from a few steps run on it; takes seconds and up to about 1 GiB.

    On a CPU other threads of the process should be at rest: what is resident is the process's.
    """
    device = torch.device(device)
    samples = [_dry_run(*run, device=device, precision=precision) for run in _DRY_RUNS]
    return fit(samples, baseline_gib=_baseline_gib(device))


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A step that was run, in any one unit of memory."""

    convolution: float
    heap: float
    """Of its Held."""

    held: float
    """What the trace says that it held in all."""

    took: float
    """What it took beside the baseline."""


def fit(samples: Sequence[Sample], *, baseline_gib: float) -> Workspace:
    """The Workspace that explains best what `samples` took beyond what they held.

    Least squares of the errors relative to what was taken, no share below 0.
    """
    from scipy.optimize import nnls  # a second to import, which no trial needs

    took = np.array([sample.took for sample in samples])
    known = np.array([[sample.convolution, sample.heap] for sample in samples])
    beyond = np.array([max(0.0, sample.took - sample.held) for sample in samples])
    shares, _ = nnls(known / took[:, None], beyond / took)
    return Workspace(baseline_gib=baseline_gib, of_convolution=float(shares[0]), of_heap=float(shares[1]))


def _dry_run(
    architecture: str,
    width: int,
    patch_size: tuple[int, int, int],
    batch_size: int,
    *,
    device: torch.device,
    precision: str,
) -> Sample:
    """A step of its trace, and a real one, in bytes."""
    network = NetworkConfig(
        architecture=architecture,
        in_channels=1,
        out_channels=3,
        width=width,
        levels=4,
        strides=level_strides(4, (1, 1, 1)),
        normalisation="batch",
    )
    resolved = resolve_precision(precision, device)
    held = held_by_step(
        network,
        patch_size=patch_size,
        batch_size=batch_size,
        loss="dice_ce",
        regions=False,
        augmentation=Augmentation(),
        device_type=device.type,
        half=HALF.get(resolved.name),
    )
    meter = MemoryMeter(device, None)
    before = _now_gib(device)
    with torch.random.fork_rng(devices=[]):
        model = build_network(network, device)
    image = torch.zeros(batch_size, 1, *patch_size, device=device)
    label = torch.zeros(batch_size, *patch_size, dtype=torch.uint8, device=device)
    for _ in range(2):
        model.zero_grad(set_to_none=True)
        with resolved.autocast():
            logits = model(image)
        SegmentationLoss("dice_ce", False)(logits, label).backward()
    took = (meter.peak_gib - before) * _GIB
    return Sample(convolution=held.largest_convolution, heap=held.heap, held=held.total, took=took)


def _now_gib(device: torch.device) -> float:
    return torch.cuda.memory_allocated(device) / _GIB if device.type == "cuda" else resident_gib()


def _baseline_gib(device: torch.device) -> float:
    if device.type != "cuda":
        return resident_gib()
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info(device)
    return (total - free - torch.cuda.memory_reserved(device)) / _GIB
