"""What the study of mixed precision compares: the usual sizes of each device, and what can be compared at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from trainables.errors import SettingError
from trainables.precision import resolve_precision
from trainables.segmentation import check_parameters
from trainables.segmentation_config import SegmentationConfig, patch_text
from trainables.volumes import Volumes

_PLAIN = {
    "loss": "dice",
    "optimizer": "adam",
    "schedule": "constant",
    "weight_decay": 0.0,
    "weight_averaging": 0.0,
    "normalisation": "batch",
    "tilt": 0.0,
    "zoom": 0.0,
    "noise": 0.0,
    "intensity_scale": 0.0,
    "intensity_shift": 0.0,
}
"""The source trains with Adam at a constant rate by the Dice loss."""


@dataclass(frozen=True, kw_only=True)
class AmpSettings:
    """What is compared."""

    network: str
    width: int
    levels: int
    patches: tuple[tuple[int, int, int], ...]
    batches: tuple[int, ...]
    precisions: tuple[str, ...]
    """fp32 first, which the others are compared with."""

    seeds: int
    steps: int
    """Of a learning curve."""

    seconds: float
    """Of training of each of the largest networks."""

    learning_rate: float
    device: str

    @classmethod
    def usual(cls, device: str) -> "AmpSettings":
        """The source's sizes on a GPU; on a CPU what ends within two minutes, and tests the way only."""
        if torch.device(device).type == "cuda":
            return cls(
                network="unet3d",
                width=32,
                levels=4,
                patches=((128, 128, 128), (160, 160, 160)),
                batches=(2, 4, 8),
                precisions=("fp32", "fp16", "bf16"),
                seeds=3,
                steps=600,
                seconds=120.0,
                learning_rate=1e-3,
                device=device,
            )
        return cls(
            network="compact_unet",
            width=4,
            levels=3,
            patches=((24, 24, 24), (32, 32, 32)),
            batches=(1, 2),
            precisions=("fp32", "bf16"),
            seeds=2,
            steps=120,
            seconds=5.0,
            learning_rate=1e-2,
            device=device,
        )

    def check(self) -> None:
        """Raises SettingError where something can't be compared on the device."""
        named = self.precisions
        if named[:1] != ("fp32",) or len(named) < 2 or len(set(named)) < len(named):
            raise SettingError(
                f"precision: must be fp32 and at least one other to compare with it, got {','.join(named)!r}"
            )
        for name in named:
            if name == "auto":
                raise SettingError("precision: auto is one of the others; name them, such as fp32,fp16,bf16")
            resolve_precision(name, self.device)
        SegmentationConfig.from_mapping(self.parameters("fp32"))

    def check_volumes(self, volumes: Volumes) -> None:
        """Raises SettingError where a patch is not for the network, or for `volumes`."""
        for size in self.patches:
            check_on(self.parameters("fp32", patch_size=list(size)), volumes)
        smallest = self.patches[0]
        x, y, z = (int(median(sizes)) for sizes in zip(*volumes.shapes.values(), strict=True))
        if any(part > whole for part, whole in zip(smallest, (x, y, z), strict=True)):
            raise SettingError(
                f"patch: {patch_text(smallest)}, on which networks are trained here, is larger than the median volume "
                f"of {patch_text((x, y, z))} voxels; use a smaller one, or a data set of larger volumes"
            )

    def parameters(self, precision: str, **changes: Any) -> dict[str, Any]:
        """Of a training run on the smallest patch and batch."""
        return {
            **_PLAIN,
            "network": self.network,
            "width": self.width,
            "levels": self.levels,
            "patch_size": list(self.patches[0]),
            "batch_size": self.batches[0],
            "learning_rate": self.learning_rate,
            "precision": precision,
            **changes,
        }


def check_on(parameters: Mapping[str, Any], volumes: Volumes) -> None:
    """Raises SettingError where no run could train with `parameters` on `volumes`."""
    check_parameters(parameters, spacing=volumes.plan.spacing, channels=volumes.channels, targets=volumes.targets)
