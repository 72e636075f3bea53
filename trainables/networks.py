"""Builds the networks that can be trained, and puts them where they run.

Four architectures share one set of settings: the original 3D U-Net (`unet3d.py`), one for little compute
(`compact_unet.py`), MONAI's residual UNet and DynUNet. MONAI's are built with the settings that it offers, and changed
here where it offers none.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from math import gcd
from typing import Any, cast

import torch
from torch import Tensor, nn

from trainables.compact_unet import CompactUNet
from trainables.instance_norm import InstanceNorm
from trainables.levels import Stride as Stride
from trainables.levels import check_patch as check_patch
from trainables.levels import level_kernels
from trainables.levels import level_strides as level_strides
from trainables.levels import patch_divisors as patch_divisors
from trainables.network_config import NetworkConfig as NetworkConfig
from trainables.recomputing import recompute
from trainables.unet3d import UNet3D

MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last_3d}
"""Of a network's convolutions, and with them of all that they make."""

_GROUPS = 8


def build_network(
    config: NetworkConfig, device: torch.device | str = "cpu", *, memory_format: str = "auto"
) -> nn.Module:
    """The network on `device`, freshly initialised from the CPU's global random state.

    `memory_format`: `contiguous`, `channels_last`, or `auto`, what is usually faster on the device.

    It maps (B, C, X, Y, Z) to logits (B, K, X, Y, Z). With deep supervision and in training mode it returns a list of
    logits instead, finest first, each of the others at the resolution of its level.
    """
    network = _build(config)
    if config.activation_checkpointing:
        for block in list(_blocks(network)):
            recompute(block)
    return place_network(network, device, memory_format=memory_format)


def place_network(network: nn.Module, device: torch.device | str, *, memory_format: str = "auto") -> nn.Module:
    """Move `network` to `device`, laid out as `build_network` says."""
    layout = MEMORY_FORMATS.get(memory_format) or network_layout(torch.device(device).type)
    network = network.to(device)
    for parameter in network.parameters():
        if parameter.dim() == 5:
            # Copied, not `contiguous`: with one channel that changes no strides, and by them torch chooses the layout
            # of a layer's output. One image channel would leave the whole finest level in the slow one.
            parameter.data = torch.empty_like(parameter, memory_format=layout).copy_(parameter.data)
    return network


def network_layout(device_type: str) -> torch.memory_format:
    """How the weights of convolutions lie in memory: channels last on a CPU (30 to 40 % less a step)."""
    return torch.channels_last_3d if device_type == "cpu" else torch.contiguous_format


def _blocks(network: nn.Module) -> Iterator[nn.Module]:
    """The blocks of convolutions between which nothing but their outputs has to be kept."""
    if isinstance(network, CompactUNet | UNet3D):
        yield from (*([network.enter] if isinstance(network, CompactUNet) else []), *network.down, *network.up)
        return
    from monai.networks.blocks.convolutions import ResidualUnit
    from monai.networks.blocks.dynunet_block import UnetBasicBlock

    yield from (module for module in network.modules() if isinstance(module, ResidualUnit | UnetBasicBlock))


def _build(config: NetworkConfig) -> nn.Module:
    if config.architecture in ("compact_unet", "unet3d"):
        kind = CompactUNet if config.architecture == "compact_unet" else UNet3D
        return kind(
            in_channels=config.in_channels,
            out_channels=config.out_channels,
            channels=config.channels,
            strides=config.strides,
            normalisation=partial(normalisation_layer, config.normalisation),
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
    _set_dropout(network, outputs=[top])
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
    outputs = [network.output_block, *(network.deep_supervision_heads if config.deep_supervision else ())]
    _set_dropout(network, outputs=outputs)
    if config.normalisation == "none":
        _add_biases(network)
    return _EveryLevel(network) if config.deep_supervision else network


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


def _set_dropout(network: nn.Module, *, outputs: Iterable[nn.Module]) -> None:
    """Let MONAI's dropout drop channels instead of voxels, and nothing in `outputs`, where channels are classes."""
    in_output = {module for output in outputs for module in output.modules()}
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Dropout):
                setattr(parent, name, nn.Identity() if parent in in_output else nn.Dropout3d(child.p))


def _add_biases(network: nn.Module) -> None:
    """Give DynUNet's convolutions the biases that they lack because they count on a normalisation to shift."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d) and module.bias is None:
            module.bias = nn.Parameter(torch.zeros(module.out_channels))
