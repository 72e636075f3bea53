"""The network of a MONAI Bundle, and how it goes over an image, as MONAI's configurations ask for them.

Copied into every bundle (`tuner.bundle_scripts`), where it stands without voxtune.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.utils import convert_to_dst_type
from torch import nn

from trainables.inference import probabilities
from trainables.levels import Stride
from trainables.network_config import NetworkConfig
from trainables.networks import build_network
from trainables.precision import precision_or_fp32
from trainables.targets import Targets
from trainables.windows import window_size, windows_at_once


def network(**settings: Any) -> nn.Module:
    """The network of these settings (`NetworkConfig`), laid out in memory as torch does. Raises SettingError."""
    return build_network(NetworkConfig.from_mapping(settings), memory_format="contiguous")


class WindowInferer(Inferer):
    """Probabilities of an image, by windows as voxtune's validation has them.

    MONAI's `SlidingWindowInferer` has windows of one size, the last of which is pushed back from the border, and gives
    logits. These are spread evenly, grow to hold a volume that is little longer than one, and are joined before the
    softmax, or the sigmoid of regions.
    """

    def __init__(
        self,
        *,
        patch_size: tuple[int, int, int],
        strides: Sequence[Stride],
        batch_size: int,
        overlap: float,
        targets: Mapping[str, Any],
        precision: str,
    ) -> None:
        """`patch_size` and `batch_size` are those of training; `precision` is used where the device has it.

        `targets`: `Targets.to_mapping`.
        """
        super().__init__()
        self.patch_size = patch_size
        self.strides = strides
        self.batch_size = batch_size
        self.overlap = overlap
        self.targets = Targets.from_mapping(targets)
        self.precision = precision

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """(B, C, X, Y, Z) -> probabilities (B, K, X, Y, Z) in fp32, with the metadata of `inputs`.

        They lie in the computer's memory: on the file's voxels they may be larger than a GPU's.
        """
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        found = torch.stack([self._of_one(image, network).cpu() for image in plain])
        joined: torch.Tensor = convert_to_dst_type(found, inputs, dtype=torch.float32, device=found.device)[0]
        return joined

    def _of_one(self, image: torch.Tensor, network: nn.Module) -> torch.Tensor:
        window = window_size(image.shape[1:], patch_size=self.patch_size, strides=self.strides)
        return probabilities(
            network,
            image,
            window=window,
            targets=self.targets,
            device=image.device,
            precision=precision_or_fp32(self.precision, image.device),
            overlap=self.overlap,
            at_once=windows_at_once(
                window, patch_size=self.patch_size, batch_size=self.batch_size, device_type=image.device.type
            ),
        )
