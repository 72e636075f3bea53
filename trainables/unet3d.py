"""The original 3D U-Net (Cicek et al. 2016, https://arxiv.org/abs/1606.06650), with padded convolutions."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from trainables.levels import Stride

Normalisation = Callable[[int], nn.Module]
"""Makes the normalisation of a number of channels."""


class UNet3D(nn.Module):
    """Two 3x3x3 convolutions a level, the second doubling the channels; max pooling; up-convolution, concatenation.

    Differs from the paper in that convolutions are padded, so that logits have the size of the input, and in the choice
    of normalisation (the paper's is batch). With 4 levels of 32, 64, 128, 256 channels it is the paper's network.

    (B, C, X, Y, Z) -> logits (B, K, X, Y, Z); with deep supervision and in training mode a list, finest first, of the
    logits of every decoder level.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int],
        strides: Sequence[Stride],
        normalisation: Normalisation,
        dropout: float = 0.0,
        deep_supervision: bool = False,
    ) -> None:
        """`channels`: of each level's first convolution, finest first; `strides`: of the pooling between the levels."""
        super().__init__()

        def block(*widths: int) -> nn.Sequential:
            return nn.Sequential(*(_convolution(a, b, normalisation, dropout) for a, b in pairwise(widths)))

        skips = [2 * c for c in channels]
        entries = [in_channels, *skips[:-1]]
        self.down = nn.ModuleList(
            block(entry, c, skip) for entry, c, skip in zip(entries, channels, skips, strict=True)
        )
        self.pool = nn.ModuleList(nn.MaxPool3d(stride) for stride in strides)
        self.grow = nn.ModuleList(
            nn.ConvTranspose3d(deeper, deeper, kernel_size=stride, stride=stride, bias=False)
            for deeper, stride in zip(skips[1:], strides, strict=True)
        )
        self.up = nn.ModuleList(block(skip + deeper, skip, skip) for skip, deeper in pairwise(skips))
        outputs = len(strides) if deep_supervision else 1
        self.heads = nn.ModuleList(nn.Conv3d(skip, out_channels, kernel_size=1) for skip in skips[:outputs])

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        skips = []
        features = image
        for down, pool in zip(self.down, self.pool, strict=False):
            features = down(features)
            skips.append(features)
            features = pool(features)
        features = self.down[-1](features)

        outputs = []
        for level in reversed(range(len(self.up))):
            features = self.up[level](torch.cat((skips[level], self.grow[level](features)), dim=1))
            if level == 0 or (self.training and level < len(self.heads)):
                outputs.append(self.heads[level](features))
        outputs.reverse()
        return outputs if self.training and len(self.heads) > 1 else outputs[0]


def _convolution(in_channels: int, out_channels: int, normalisation: Normalisation, dropout: float) -> nn.Sequential:
    norm = normalisation(out_channels)
    # A normalisation takes off the mean, and with it any bias.
    bias = isinstance(norm, nn.Identity)
    convolution = nn.Conv3d(in_channels, out_channels, 3, padding=1, bias=bias)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")  # keeps its scale without a normalisation, too
    layers: list[nn.Module] = [convolution, norm]
    if dropout:
        layers.append(nn.Dropout3d(dropout))
    return nn.Sequential(*layers, nn.ReLU(inplace=True))
