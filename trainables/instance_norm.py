"""Instance normalisation that is fast in the layout in which a CPU convolves fastest."""

from typing import Any

import torch
from torch import Tensor, nn


class InstanceNorm(nn.InstanceNorm3d):
    """`torch.nn.InstanceNorm3d` with scale and shift; on a CPU and in channels-last layout 2 to 4 times as fast.

    torch turns a channels-last tensor around before it normalises it, and its convolutions turn it back. Its batch norm
    needs neither, and the instance norm of a batch is the batch norm of each of its samples.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=True)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, X, Y, Z) -> the same shape and layout."""
        by_sample = (
            features.device.type == "cpu"
            and features.dtype == torch.float32
            and features.is_contiguous(memory_format=torch.channels_last_3d)
        )
        if not by_sample:
            return super().forward(features)
        normalised: Tensor = _NormaliseSamples.apply(features, self.weight, self.bias, self.eps)
        return normalised


class _NormaliseSamples(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        normalised = torch.empty_like(features)
        mean = features.new_empty(features.shape[:2])
        inverse_deviation = torch.empty_like(mean)
        for i in range(len(features)):
            torch.ops.aten.native_batch_norm.out(
                features[i : i + 1],
                weight,
                bias,
                None,
                None,
                True,
                0.0,
                eps,
                out=normalised[i : i + 1],
                save_mean=mean[i],
                save_invstd=inverse_deviation[i],
            )
        ctx.save_for_backward(features, weight, mean, inverse_deviation)
        ctx.eps = eps
        return normalised

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, mean, inverse_deviation = ctx.saved_tensors
        (gradient,) = gradients
        of_features = torch.empty_like(features)
        of_weight = torch.empty_like(mean)
        of_bias = torch.empty_like(mean)
        for i in range(len(features)):
            torch.ops.aten.native_batch_norm_backward.out(
                gradient[i : i + 1],
                features[i : i + 1],
                weight,
                None,
                None,
                mean[i],
                inverse_deviation[i],
                True,
                ctx.eps,
                [True, True, True],
                out0=of_features[i : i + 1],
                out1=of_weight[i],
                out2=of_bias[i],
            )
        return of_features, of_weight.sum(0), of_bias.sum(0), None
