"""How much memory a training configuration will take at most, estimated before anything of it is built."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from math import ceil, prod
from typing import Any, Literal

import torch

from trainables.augmentation import Augmentation
from trainables.memory_trace import held_by_forward, held_by_network, held_by_step
from trainables.networks import NetworkConfig
from trainables.precision import HALF, resolve_precision
from trainables.segmentation_config import SegmentationConfig
from trainables.targets import Targets
from trainables.windows import window_size, window_starts, windows_at_once
from trainables.workspace import MONAI_GIB, WORKSPACES, Workspace

Shape = tuple[int, ...]

_FLOAT = 4
_FROM_MONAI = ("residual_unet", "dynunet")
_GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """What is held at the moment when most is held, in GiB, so that it adds up."""

    phase: Literal["training", "evaluation"]
    """When that is."""

    parameters: float
    """Weights and buffers, twice with `weight_averaging`."""

    gradients: float
    """As many as there are at that moment."""

    optimizer: float
    activations: float
    """What the forward pass and the loss keep for the way back."""

    temporaries: float
    """What else the forward pass, the loss or the way back needs for a while."""

    inputs: float
    """A step's patches and labels, on a GPU three times: as a graph reads them, and the next one's."""

    evaluation: float
    """A volume, its windows' way through the network, and its logits; 0 while training."""

    workspace: float
    """What the device's libraries and its allocator take beside tensors: fitted, see Workspace."""

    baseline: float
    """What a process takes before it trains."""

    @property
    def peak_gib(self) -> float:
        return sum(getattr(self, field.name) for field in fields(self) if field.name != "phase")


def estimate_memory(
    parameters: Mapping[str, Any],
    *,
    spacing: tuple[float, float, float],
    channels: int,
    targets: Targets,
    device: str,
    validation: Collection[Shape] = (),
    workspace: Workspace | None = None,
) -> MemoryEstimate:
    """Peak memory of a SegmentationRun with `parameters` on volumes of `spacing` (mm) and `channels`.

    On a GPU, of the GPU: what torch allocates, and the context. On a CPU, of the process: what is resident, but for the
    pages of memory-mapped volumes, which the kernel takes back when it needs them.

    `validation` holds the shapes (x, y, z voxels) of the volumes that are segmented in an evaluation. Nothing is
    allocated on the device, which need not be there: without it `precision: auto` counts as what a current one has.
    The first estimate for a network, patch and batch takes about a second of one core; one that differs in learning
    rate, dropout or strength of augmentation alone takes microseconds.

    Raises SettingError where a parameter breaks a rule.
    """
    config = SegmentationConfig.from_mapping(parameters)
    network = _as_large(config.network_config(spacing=spacing, in_channels=channels, out_channels=targets.channels))
    device_type = torch.device(device).type
    half = HALF.get(_precision(config.precision, device))
    workspace = workspace or WORKSPACES[device_type]

    weights, buffers = held_by_network(network)
    kept = (weights + buffers) * (2 if config.weight_averaging else 1)
    optimizer = weights * _optimizer_copies(config)
    part = config.patches_at_once
    step = held_by_step(
        network,
        patch_size=config.patch_size,
        batch_size=part,
        loss=config.loss,
        regions=targets.regions,
        augmentation=_as_costly(config.augmentation(spacing=spacing)),
        device_type=device_type,
        half=half,
    )
    inputs = step["inputs"] * config.batch_size // part
    # The next batch, which is drawn meanwhile, and the copy of one that a CUDA graph reads.
    ahead = 2 * inputs if device_type == "cuda" else 0
    # The gradients of one part of a batch are there while the next goes forward.
    gradients = weights if part < config.batch_size else step["gradients"]
    training = step.total - step["gradients"] + gradients - step["inputs"] + inputs + ahead - step["parameters"]
    evaluation = _evaluation_bytes(config, network, validation, device_type, half) + ahead
    trains = training >= weights + evaluation

    def gib(size: float) -> float:
        return size / _GIB

    return MemoryEstimate(
        phase="training" if trains else "evaluation",
        parameters=gib(kept),
        gradients=gib(gradients if trains else weights),
        optimizer=gib(optimizer),
        activations=gib(trains * step["activations"]),
        temporaries=gib(trains * step["temporaries"]),
        inputs=gib(trains * (inputs + ahead)),
        evaluation=gib((not trains) * evaluation),
        workspace=gib(workspace.bytes_for(step)),
        baseline=workspace.baseline_gib
        + (MONAI_GIB if device_type == "cpu" and network.architecture in _FROM_MONAI else 0.0),
    )


def _as_large(network: NetworkConfig) -> NetworkConfig:
    """One that takes as much memory, and is the same for all networks that do: tracing it once is enough."""
    return replace(network, dropout=0.5 if network.dropout else 0.0)


def _as_costly(augmentation: Augmentation) -> Augmentation:
    """The same changes, in a strength that is the same for all, and made always: memory depends on no more.

    Without warps: what they hold beside a batch is a few times the batch, which the network's activations exceed; and
    they are made part by part, so that tracing them would take longer than all the rest.
    """

    def if_any(strength: float, instead: float) -> float:
        return instead if strength else 0.0

    return replace(
        augmentation,
        rotations=if_any(augmentation.rotations, 1.0),
        tilt=0.0,
        zoom=0.0,
        intensity_scale=if_any(augmentation.intensity_scale, 0.5),
        intensity_shift=if_any(augmentation.intensity_shift, 0.5),
        noise=if_any(augmentation.noise, 0.5),
    )


def _optimizer_copies(config: SegmentationConfig) -> int:
    """How many numbers the optimizer keeps for each weight."""
    if config.optimizer == "sgd":
        return 1
    return 3 if config.amsgrad else 2


def _evaluation_bytes(
    config: SegmentationConfig,
    network: NetworkConfig,
    validation: Collection[Shape],
    device_type: str,
    half: torch.dtype | None,
) -> int:
    """What segmenting the largest volume takes, or those that are seen through the most and largest windows at once."""
    windows = {shape: window_size(shape, patch_size=config.patch_size, strides=network.strides) for shape in validation}
    if not windows:
        return 0

    def at_once(shape: Shape) -> int:
        return windows_at_once(
            windows[shape], patch_size=config.patch_size, batch_size=config.patches_at_once, device_type=device_type
        )

    def needed(shape: Shape) -> int:
        window = windows[shape]
        voxels = prod(max(whole, part) for whole, part in zip(shape, window, strict=True))
        image = _FLOAT * network.in_channels * voxels
        logits = _FLOAT * network.out_channels * voxels
        forward = held_by_forward(network, window=window, count=at_once(shape), device_type=device_type, half=half)
        through = forward.total - forward["parameters"]
        # Volumes that the windows of one forward pass may belong to; one with as many as go together is alone.
        windows_each = len(window_starts(shape, window, config.overlap))
        under_way = 1 if windows_each >= at_once(shape) else 1 + ceil((at_once(shape) - 1) / windows_each)
        return through + under_way * (image + logits)

    largest = max(windows, key=prod)
    widest = max(windows, key=lambda shape: at_once(shape) * prod(windows[shape]))
    return max(needed(shape) for shape in {largest, widest})


def _precision(name: str, device: str) -> str:
    """The name of the format that `name` means on `device`, or on a current one where it isn't there."""
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        return "fp16" if name == "auto" else name
    return resolve_precision(name, device).name
