"""Which 3D U-Net is trained: its settings, and the rules that they keep."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from trainables.errors import SettingError, check_setting
from trainables.levels import MAX_LEVELS, Stride

ARCHITECTURES = ("compact_unet", "unet3d", "residual_unet", "dynunet")
NORMALISATIONS = ("instance", "batch", "group", "none")
MAX_CHANNELS = {"compact_unet": 320, "unet3d": 256, "residual_unet": 512, "dynunet": 320}
"""Channels double from level to level up to here. 320 is nnU-Net's bound for 3D; 256 is what the deepest level of Cicek
et al. starts with before it doubles them to 512."""


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

    activation_checkpointing: bool = False
    """While training, blocks of convolutions keep their input only and are computed again on the way back."""

    def __post_init__(self) -> None:
        _check_choice("network", self.architecture, ARCHITECTURES)
        _check_choice("normalisation", self.normalisation, NORMALISATIONS)
        _check_int("in_channels", self.in_channels, 1, 1024)
        _check_int("out_channels", self.out_channels, 1, 256)
        _check_int("width", self.width, 2, MAX_CHANNELS[self.architecture])
        # DynUNet is made of an input block, at least one down-sampling block and a bottleneck.
        _check_int("levels", self.levels, 3 if self.architecture == "dynunet" else 2, MAX_LEVELS)
        fits = isinstance(self.dropout, int | float) and 0 <= self.dropout < 1
        check_setting("dropout", self.dropout, "at least 0 and less than 1", fits)
        for key in ("deep_supervision", "activation_checkpointing"):
            check_setting(key, getattr(self, key), "true or false", isinstance(getattr(self, key), bool))
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


def _is_stride(stride: object) -> bool:
    if not isinstance(stride, tuple) or len(stride) != 3 or not all(type(step) is int for step in stride):
        return False  # a model file's may be tensors, which can't be compared
    return set(stride) in ({2}, {1, 2})


def _check_choice(key: str, value: object, choices: Sequence[str]) -> None:
    check_setting(key, value, f"one of {', '.join(choices)}", value in choices)


def _check_int(key: str, value: object, low: int, high: int) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    check_setting(key, value, f"a whole number from {low} to {high}", whole)
