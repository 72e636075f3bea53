"""The settings of a segmentation training run: the flat keys that a search space or a configuration file gives values.

A setting that is left out has its default. The defaults are a recipe that does well in little time on a CPU.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from math import isfinite, sqrt
from typing import Any

import torch

from trainables.augmentation import Augmentation
from trainables.errors import SettingError, check_setting
from trainables.losses import SegmentationLoss
from trainables.networks import MEMORY_FORMATS, NetworkConfig, level_strides
from trainables.optimisation import build_optimizer, learning_rate_factor
from trainables.precision import PRECISIONS

PatchSize = tuple[int, int, int]

LEARNING_RATE_SCALING: Mapping[str, Callable[[int], float]] = {"none": lambda n: 1.0, "linear": float, "sqrt": sqrt}
"""The factor for a batch that is n times as large."""


@dataclass(frozen=True, kw_only=True)
class SegmentationConfig:
    """One way to train. Raises SettingError naming the setting, its rule and the value."""

    network: str = "compact_unet"
    """`compact_unet`: a U-Net of half the convolutions, skips added; `unet3d`: Cicek et al. 2016, padded;
    `residual_unet`: MONAI's UNet, two residual units a level; `dynunet`: MONAI's DynUNet, the network of nnU-Net."""

    width: int = 8
    """Channels of the network's first level; they double from level to level."""

    levels: int = 4
    """Resolutions of the network, each half the one above."""

    normalisation: str = "batch"
    """`batch`, `instance`, `group` or `none`."""

    dropout: float = 0.0
    """Probability with which a whole channel is zeroed."""

    deep_supervision: bool = False
    """The loss sees the outputs of coarser levels too."""

    activation_checkpointing: bool = False
    """Blocks of convolutions keep their input only and are computed again on the way back: a fifth to a third less
    memory for about a third more time."""

    patch_size: PatchSize = (32, 32, 32)
    """Voxels along x, y and z of what the network is trained on. A file may also say 32, for a cube, or 32x48x32."""

    batch_size: int = 2
    """Patches in a step."""

    micro_batch: int = 0
    """The most patches that go through the network at once; a larger batch does so in parts, whose gradients are added
    up, so that it needs no more memory. 0: the whole batch at once."""

    batch_per_worker: bool = False
    """Where several workers train together (`resources.workers_per_trial`): whether each takes `batch_size` patches, so
    that a step has so many times as many, instead of its share of them."""

    learning_rate_scaling: str = "none"
    """How `learning_rate` grows with the number of workers under `batch_per_worker`: `none`, `linear` (Goyal et al.
    2017) or `sqrt` (Krizhevsky 2014)."""

    shared_normalisation: bool = True
    """Whether batch norm takes its statistics over the batches of all workers, or each over its own."""

    learning_rate: float = 6e-3
    """The highest of the schedule."""

    optimizer: str = "adamw"
    """`adam`, `adamw` or `sgd` (with Nesterov momentum)."""

    beta2: float = 0.99
    """Adam's memory of squared gradients, from step to step. Lower than is usual: runs are short."""

    amsgrad: bool = False
    """Adam divides by the largest average of squared gradients so far (Reddi et al. 2018)."""

    momentum: float = 0.99
    """Of SGD."""

    weight_decay: float = 1e-2
    """How fast weights shrink: added to the gradient by adam and sgd, taken off the weights by adamw."""

    schedule: str = "cosine"
    """Learning rate over the full budget: `constant`, `cosine` or `polynomial`."""

    warmup: float = 0.05
    """Share of the full budget over which the learning rate rises from 0."""

    gradient_clip: float = 0.0
    """The gradient's largest norm; longer ones are shortened to it. 0: off."""

    loss: str = "dice_ce"
    """`dice`, or `dice_ce`, Dice plus cross entropy."""

    precision: str = "auto"
    """`fp32`, `tf32`, `fp16`, `bf16`, or `auto`: what a sweep measures to be fastest on the device and to agree with
    fp32; elsewhere fp16 on a GPU with tensor cores, else fp32."""

    memory_format: str = "auto"
    """How features lie in memory: `contiguous`, `channels_last`, or `auto`: what a sweep measures to be faster, else
    channels last on a CPU."""

    foreground_fraction: float = 1.0
    """Share of the patches that are centred on a voxel of a target."""

    flips: str = ""
    """Axes along which patches are mirrored at random, such as `x` or `xyz`."""

    rotations: float = 0.0
    """Probability of a rotation by 90, 180 or 270 degrees, in planes of equal spacing and patch size."""

    tilt: float = 15.0
    """Patches are turned by up to this many degrees in each plane."""

    zoom: float = 0.15
    """Patches are stretched along each axis by up to about this share."""

    intensity_scale: float = 0.1
    """Intensities are multiplied by up to 1 ± this."""

    intensity_shift: float = 0.1
    """To intensities is added up to ± this, in units of the normalised image."""

    noise: float = 0.1
    """To intensities is added Gaussian noise of up to this standard deviation."""

    weight_averaging: float = 0.99
    """The share of its past that the running average of the weights keeps in a step; the average is what is evaluated
    and saved. 0: off, the weights themselves are."""

    overlap: float = 0.25
    """Share of a window by which neighbours overlap at least, where a volume is cut into windows to be segmented."""

    largest_component: bool = False
    """Keep only the largest connected piece of each target in a prediction."""

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_type(field.name, getattr(self, field.name), type(field.default))
        check_setting("batch_size", self.batch_size, "at least 1", self.batch_size >= 1)
        check_setting("micro_batch", self.micro_batch, "at least 0", self.micro_batch >= 0)
        check_setting("patch_size", patch_text(self.patch_size), "made of numbers above 0", min(self.patch_size) >= 1)
        check_setting("gradient_clip", self.gradient_clip, "at least 0", self.gradient_clip >= 0)
        check_setting(
            "foreground_fraction", self.foreground_fraction, "from 0 to 1", 0 <= self.foreground_fraction <= 1
        )
        for key in ("weight_averaging", "overlap"):
            check_setting(key, getattr(self, key), "at least 0 and less than 1", 0 <= getattr(self, key) < 1)
        rules = tuple(LEARNING_RATE_SCALING)
        scaling = self.learning_rate_scaling
        check_setting("learning_rate_scaling", scaling, f"one of {', '.join(rules)}", scaling in rules)
        formats = ("auto", *MEMORY_FORMATS)
        check_setting(
            "memory_format", self.memory_format, f"one of {', '.join(formats)}", self.memory_format in formats
        )
        check_setting("precision", self.precision, f"one of {', '.join(PRECISIONS)}", self.precision in PRECISIONS)
        # The other settings are checked by what they are for, built here for the simplest data set.
        self.network_config(spacing=(1.0, 1.0, 1.0), in_channels=1, out_channels=2)
        self.augmentation(spacing=(1.0, 1.0, 1.0))
        self.build_optimizer([torch.nn.Parameter(torch.zeros(1))])
        learning_rate_factor(self.schedule, 0.0, self.warmup)
        SegmentationLoss(self.loss, regions=False)

    def for_workers(self, count: int) -> "SegmentationConfig":
        """The settings by which `count` workers train: `batch_size` is that of all together, `learning_rate` follows.

        Raises SettingError where there is less than a patch a worker.
        """
        if count == 1:
            return self
        if not self.batch_per_worker:
            check_setting(
                "batch_size", self.batch_size, f"at least {count}, one patch for each worker", self.batch_size >= count
            )
            return self
        factor = LEARNING_RATE_SCALING[self.learning_rate_scaling](count)
        return replace(self, batch_size=count * self.batch_size, learning_rate=factor * self.learning_rate)

    def network_config(self, *, spacing: Sequence[float], in_channels: int, out_channels: int) -> NetworkConfig:
        """The network for volumes of `spacing` (mm)."""
        return NetworkConfig(
            architecture=self.network,
            in_channels=in_channels,
            out_channels=out_channels,
            width=self.width,
            levels=self.levels,
            strides=level_strides(self.levels, spacing),
            normalisation=self.normalisation,
            dropout=self.dropout,
            deep_supervision=self.deep_supervision,
            activation_checkpointing=self.activation_checkpointing,
        )

    def augmentation(self, *, spacing: tuple[float, float, float]) -> Augmentation:
        """What is done to patches of volumes of `spacing` (mm)."""
        return Augmentation(
            flips=self.flips,
            rotations=self.rotations,
            tilt=self.tilt,
            zoom=self.zoom,
            spacing=spacing,
            intensity_scale=self.intensity_scale,
            intensity_shift=self.intensity_shift,
            noise=self.noise,
        )

    def build_optimizer(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer of a network's `parameters`."""
        return build_optimizer(
            parameters,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            beta2=self.beta2,
            amsgrad=self.amsgrad,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
        )

    @property
    def patches_at_once(self) -> int:
        """That go through the network together in training."""
        return min(self.micro_batch or self.batch_size, self.batch_size)

    def to_mapping(self) -> dict[str, Any]:
        """Every setting, in plain types."""
        return {**asdict(self), "patch_size": list(self.patch_size)}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "SegmentationConfig":
        """Settings by name, as a configuration file or a search gives them. Raises SettingError."""
        defaults = {field.name: field.default for field in fields(cls)}
        for key in mapping:
            check_name(key)
        settings = dict(mapping)
        if "patch_size" in settings:
            settings["patch_size"] = parse_patch_size(settings["patch_size"])
        for key, value in settings.items():
            if isinstance(defaults[key], float) and type(value) is int:
                settings[key] = float(value)
        return cls(**settings)


def check_name(key: str) -> None:
    """Raises SettingError unless there is a setting of this name."""
    known = [field.name for field in fields(SegmentationConfig)]
    if key not in known:
        raise SettingError(f"{key}: not a setting of a segmentation run{_suggest(str(key), known)}")


def parse_patch_size(value: Any) -> PatchSize:
    """32, "32x48x32" or [32, 48, 32] as voxels along x, y and z. Raises SettingError."""
    parts: Any = value
    if type(value) is int:
        parts = [value] * 3
    elif isinstance(value, str):
        parts = [int(part) if part.isascii() and part.isdigit() else part for part in value.strip().split("x")]
        if len(parts) == 1:
            parts = parts * 3
    if isinstance(parts, list | tuple) and len(parts) == 3 and all(type(part) is int for part in parts):
        x, y, z = parts
        return x, y, z
    raise SettingError(f'patch_size: must be a whole number or three such as "32x48x32" or [32, 48, 32], got {value!r}')


def patch_text(patch_size: Sequence[int]) -> str:
    """`patch_size` as people write it: 32x48x32."""
    return "x".join(map(str, patch_size))


_KINDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", tuple: "three whole numbers"}


def _check_type(key: str, value: object, kind: type) -> None:
    """`value` must be of the type of the setting's default; a whole number will do for a number, a boolean won't."""
    fits = type(value) is kind or (kind is float and type(value) is int)
    check_setting(key, value, _KINDS[kind], fits)
    if isinstance(value, float):
        check_setting(key, value, "finite", isfinite(value))


def _suggest(key: str, known: Sequence[str]) -> str:
    close = get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"
