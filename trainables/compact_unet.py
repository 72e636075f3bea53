"""A 3D U-Net for little compute: as few and as narrow convolutions at full resolution as still find the borders."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from trainables.levels import Stride
from trainables.unet3d import Normalisation


class CompactUNet(nn.Module):
    """A U-Net (Ronneberger et al. 2015) with half the convolutions, and skips that are added.

    Down: one 3x3x3 convolution at the finest level; at each other a strided one and another. Up: a transposed
    convolution, the skip added to it (Chaurasia and Culurciello 2017), and one 3x3x3 convolution. Most of a U-Net's
    time goes into its finest level, and there most into the convolution of the concatenated features; here it sees half
    as many channels. Each convolution but the transposed ones is followed by normalisation and a leaky ReLU.

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
        """`channels`: of each level, finest first; `strides`: from each level to the next."""
        super().__init__()

        def convolution(entry: int, exit_: int, stride: Stride = (1, 1, 1)) -> nn.Sequential:
            norm = normalisation(exit_)
            # A normalisation takes off the mean, and with it any bias.
            bias = isinstance(norm, nn.Identity)
            layers: list[nn.Module] = [nn.Conv3d(entry, exit_, 3, stride=stride, padding=1, bias=bias), norm]
            if dropout:
                layers.append(nn.Dropout3d(dropout))
            return nn.Sequential(*layers, nn.LeakyReLU(0.01, inplace=True))

        self.enter = convolution(in_channels, channels[0])
        self.down = nn.ModuleList(
            nn.Sequential(convolution(finer, coarser, stride), convolution(coarser, coarser))
            for (finer, coarser), stride in zip(pairwise(channels), strides, strict=True)
        )
        self.grow = nn.ModuleList(
            nn.ConvTranspose3d(coarser, finer, kernel_size=stride, stride=stride)
            for (finer, coarser), stride in zip(pairwise(channels), strides, strict=True)
        )
        self.up = nn.ModuleList(convolution(finer, finer) for finer in channels[:-1])
        outputs = len(strides) if deep_supervision else 1
        self.heads = nn.ModuleList(nn.Conv3d(finer, out_channels, kernel_size=1) for finer in channels[:outputs])

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        features = self.enter(image)
        skips = []
        for down in self.down:
            skips.append(features)
            features = down(features)

        outputs = []
        for level in reversed(range(len(self.up))):
            features = self.up[level](skips[level] + self.grow[level](features))
            if level == 0 or (self.training and level < len(self.heads)):
                outputs.append(self.heads[level](features))
        outputs.reverse()
        return outputs if self.training and len(self.heads) > 1 else outputs[0]
