"""Which 3D U-Net is trained: its settings, the levels it is made of, and the module itself.

Four architectures share one set of settings: the original 3D U-Net (`unet3d.py`), one for little compute
(`compact_unet.py`), MONAI's residual UNet and DynUNet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import gcd, prod
from typing import Any, cast

import torch
from torch import Tensor, nn

from trainables.compact_unet import CompactUNet
from trainables.errors import SettingError
from trainables.instance_norm import InstanceNorm
from trainables.unet3d import UNet3D

Stride = tuple[int, int, int]

ARCHITECTURES = ("compact_unet", "unet3d", "residual_unet", "dynunet")
NORMALISATIONS = ("instance", "batch", "group", "none")
MAX_CHANNELS = {"compact_unet": 320, "unet3d": 256, "residual_unet": 512, "dynunet": 320}
"""Channels double from level to level up to here. 320 is nnU-Net's bound for 3D; 256 is what the deepest level of Cicek
et al. starts with before it doubles them to 512."""

AXES = "xyz"
_GROUPS = 8
_HALVE_UP_TO = 2 * (1 - 1e-3)  # below: spacings read from float32 headers are twice another only nearly


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """A network that can be built. Raises SettingError where a value breaks a rule."""

    architecture: str
    """`compact_unet`: a U-Net of half the convolutions, skips added. `unet3d`: Cicek et al. 2016, padded.
    `residual_unet`: MONAI's UNet, two residual units a level. `dynunet`: MONAI's DynUNet, the network of nnU-Net."""

    in_channels: int
    out_channels: int

    width: int
    """Channels of the first level; they double from level to level up to MAX_CHANNELS."""

    levels: int
    """Resolutions, the deepest included."""

    strides: tuple[Stride, ...]
    """How each level but the last is halved on the way down; `level_strides` plans them."""

    normalisation: str = "instance"
    """`group` means 8 groups, or the largest divisor of 8 that divides the channels."""

    dropout: float = 0.0
    """Probability with which a whole channel is zeroed (Tompson et al. 2015), in every block but the output's."""

    deep_supervision: bool = False
    """While training, logits of the coarser decoder levels too."""

    def __post_init__(self) -> None:
        _check_choice("network", self.architecture, ARCHITECTURES)
        _check_choice("normalisation", self.normalisation, NORMALISATIONS)
        _check_int("in_channels", self.in_channels, 1, 1024)
        _check_int("out_channels", self.out_channels, 1, 256)
        _check_int("width", self.width, 2, MAX_CHANNELS[self.architecture])
        # DynUNet is made of an input block, at least one down-sampling block and a bottleneck.
        _check_int("levels", self.levels, 3 if self.architecture == "dynunet" else 2, 8)
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise SettingError(f"dropout: must be at least 0 and less than 1, got {self.dropout!r}")
        if not isinstance(self.deep_supervision, bool):
            raise SettingError(f"deep_supervision: must be true or false, got {self.deep_supervision!r}")
        if self.deep_supervision and self.architecture == "residual_unet":
            raise SettingError(
                "deep_supervision: residual_unet has no outputs at its coarser levels; "
                "use network compact_unet, unet3d or dynunet, or deep_supervision false"
            )
        if self.deep_supervision and self.levels < 3:
            raise SettingError(
                f"deep_supervision: needs levels to be at least 3, got {self.levels}, which leaves no coarser output"
            )
        if len(self.strides) != self.levels - 1 or not all(_is_stride(s) for s in self.strides):
            raise SettingError(
                f"strides: must be {self.levels - 1} triples of 1 or 2, one fewer than levels, got {self.strides}"
            )

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each level, finest first."""
        bound = MAX_CHANNELS[self.architecture]
        return tuple(min(self.width * 2**level, bound) for level in range(self.levels))

    def to_mapping(self) -> dict[str, Any]:
        return {**asdict(self), "strides": [list(stride) for stride in self.strides]}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "NetworkConfig":
        """The inverse of `to_mapping`. Raises SettingError naming an unknown, missing or bad key."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(mapping) - known):
            raise SettingError(f"{unknown[0]}: not a setting of a network; known are {', '.join(sorted(known))}")
        required = ("architecture", "in_channels", "out_channels", "width", "levels", "strides")
        if missing := [key for key in required if key not in mapping]:
            raise SettingError(f"{missing[0]}: missing from the network's settings")
        strides = mapping["strides"]
        if not isinstance(strides, Sequence) or not all(isinstance(stride, Sequence) for stride in strides):
            raise SettingError(f"strides: must be a list of triples, got {strides!r}")
        return cls(**{**mapping, "strides": tuple(tuple(stride) for stride in strides)})


def level_strides(levels: int, spacing: Sequence[float]) -> tuple[Stride, ...]:
    """Strides of the `levels` - 1 ways down for voxels of `spacing` (mm; x, y, z): towards cubic voxels.

    At each level an axis is halved unless its spacing there is at least twice the finest one (nnU-Net's rule,
    Isensee et al. 2021).
    """
    current = [float(s) for s in spacing]
    strides = []
    for _ in range(levels - 1):
        stride = cast(Stride, tuple(2 if s < _HALVE_UP_TO * min(current) else 1 for s in current))
        current = [s * factor for s, factor in zip(current, stride, strict=True)]
        strides.append(stride)
    return tuple(strides)


def patch_divisors(strides: Sequence[Stride]) -> tuple[int, int, int]:
    """What a patch's size along x, y, z must be a multiple of."""
    return cast(tuple[int, int, int], tuple(prod(stride[axis] for stride in strides) for axis in range(3)))


def check_patch(patch_size: Sequence[int], strides: Sequence[Stride]) -> None:
    """Raises SettingError unless a network with these strides can take patches of `patch_size` voxels (x, y, z)."""
    divisors = patch_divisors(strides)
    for size, divisor in zip(patch_size, divisors, strict=True):
        if size > 0 and size % divisor == 0:
            continue
        same = [a for a in range(3) if patch_size[a] == size and divisors[a] == divisor]
        below = size - size % divisor
        nearest = f"{below} or {below + divisor}" if below > 0 else f"{divisor}"
        raise SettingError(
            f"patch_size: {size} is not a {'multiple of ' + str(divisor) if divisor > 1 else 'positive number'} "
            f"(the network halves {', '.join(AXES[a] for a in same)} {_times(divisor.bit_length() - 1)}); use {nearest}"
        )
    if tuple(patch_size) == divisors:
        raise SettingError(
            f"patch_size: {'x'.join(map(str, patch_size))} leaves a single voxel at the deepest level, where nothing "
            f"can be normalised; use at least {2 * patch_size[0]} along x, or fewer levels"
        )


def build_network(config: NetworkConfig, device: torch.device | str = "cpu") -> nn.Module:
    """The network on `device`, freshly initialised from the CPU's global random state.

    It maps (B, C, X, Y, Z) to logits (B, K, X, Y, Z). With deep supervision and in training mode it returns a list of
    logits instead, finest first, each of the others at the resolution of its level.
    """
    return place_network(_build(config), device)


def place_network(network: nn.Module, device: torch.device | str) -> nn.Module:
    """Move `network` to `device`, laid out as it is fastest there: channels last on a CPU (30 to 40 % less a step)."""
    layout = torch.channels_last_3d if torch.device(device).type == "cpu" else torch.contiguous_format
    network = network.to(device)
    for parameter in network.parameters():
        if parameter.dim() == 5:
            parameter.data = parameter.data.contiguous(memory_format=layout)
    return network


def _build(config: NetworkConfig) -> nn.Module:
    if config.architecture in ("compact_unet", "unet3d"):
        kind = CompactUNet if config.architecture == "compact_unet" else UNet3D
        return kind(
            in_channels=config.in_channels,
            out_channels=config.out_channels,
            channels=config.channels,
            strides=config.strides,
            normalisation=lambda channels: normalisation_layer(config.normalisation, channels),
            dropout=config.dropout,
            deep_supervision=config.deep_supervision,
        )
    network = _residual_unet(config) if config.architecture == "residual_unet" else _dynunet(config)
    _set_normalisation(network, config.normalisation)
    return network


def normalisation_layer(kind: str, channels: int) -> nn.Module:
    """The layer that `normalisation: kind` puts after a convolution of `channels` channels."""
    if kind == "instance":
        return InstanceNorm(channels)
    if kind == "batch":
        return nn.BatchNorm3d(channels)
    if kind == "group":
        return nn.GroupNorm(gcd(_GROUPS, channels), channels)
    return nn.Identity()


def _residual_unet(config: NetworkConfig) -> nn.Module:
    from monai.networks.nets import UNet

    network = UNet(
        spatial_dims=3,
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        channels=config.channels,
        strides=config.strides,  # type: ignore[arg-type]  # MONAI takes a stride per axis, but does not say so
        num_res_units=2,
        norm="batch",
        dropout=config.dropout,
        act=("leakyrelu", {"inplace": True}),  # PReLU, the default, goes back 10 times as slowly on a CPU
    )
    _, _, top = cast(nn.Sequential, network.model)
    _set_dropout(network, output=top)
    return network


def _dynunet(config: NetworkConfig) -> nn.Module:
    from monai.networks.nets import DynUNet

    network = DynUNet(
        spatial_dims=3,
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        kernel_size=level_kernels(config.strides),
        strides=((1, 1, 1), *config.strides),
        upsample_kernel_size=config.strides,
        filters=config.channels,
        norm_name="batch",
        dropout=config.dropout or None,
        deep_supervision=config.deep_supervision,
        deep_supr_num=max(config.levels - 2, 1),
    )
    _set_dropout(network, output=network.output_block)
    if not config.deep_supervision:
        return network
    _set_dropout(network.deep_supervision_heads, output=network.deep_supervision_heads)
    return _EveryLevel(network)


def level_kernels(strides: Sequence[Stride]) -> tuple[Stride, ...]:
    """Kernel sizes of a DynUNet's levels: 1 along an axis that is not halved yet nor next, 3 otherwise.

    So a convolution spans about the same distance along each axis (nnU-Net). The deepest level mixes all three axes.
    """
    kernels = [
        cast(Stride, tuple(3 if any(s[axis] > 1 for s in strides[: level + 1]) else 1 for axis in range(3)))
        for level in range(len(strides))
    ]
    return (*kernels, (3, 3, 3))


class _EveryLevel(nn.Module):
    """A DynUNet that gives each level's logits as they are; MONAI's own forward enlarges and stacks them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        network = cast(Any, self.network)
        logits = network.output_block(network.skip_layers(image))
        coarser = list(network.heads)
        network.heads[:] = [None] * len(coarser)  # a module that holds activations can't be copied
        return [logits, *coarser] if self.training else cast(Tensor, logits)


def _set_normalisation(network: nn.Module, kind: str) -> None:
    """Put layers of `kind` in the place of the network's batch norms."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm3d):
                setattr(parent, name, normalisation_layer(kind, child.num_features))


def _set_dropout(network: nn.Module, *, output: nn.Module) -> None:
    """Let MONAI's dropout drop channels instead of voxels, and nothing in `output`, where channels are classes."""
    of_output = set(output.modules())
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Dropout):
                setattr(parent, name, nn.Identity() if parent in of_output else nn.Dropout3d(child.p))


def _is_stride(stride: object) -> bool:
    return isinstance(stride, tuple) and len(stride) == 3 and all(s in (1, 2) for s in stride) and 2 in stride


def _check_choice(key: str, value: object, choices: Sequence[str]) -> None:
    if value not in choices:
        raise SettingError(f"{key}: must be one of {', '.join(choices)}, got {value!r}")


def _check_int(key: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise SettingError(f"{key}: must be a whole number from {low} to {high}, got {value!r}")


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
