"""Convolutions of a batch of one on a CPU, through the library that torch keeps for larger batches."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class SingleSampleConvolution(TorchFunctionMode):
    """Within it, 3D convolutions of one sample in fp32 on a CPU, and their backward passes, are done by oneDNN.

    torch gives a small batch of one to its own implementation, which takes 2 to 6 times as long. What it does with
    larger batches, in half precision and on other devices stays as it is.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.conv3d and not kwargs and _would_be_slow(args[0]):
            return _Convolution.apply(*args)
        return func(*args, **(kwargs or {}))


def _would_be_slow(features: Tensor) -> bool:
    return (
        len(features) == 1
        and features.device.type == "cpu"
        and features.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
    )


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, ...],
        padding: tuple[int, ...],
        dilation: tuple[int, ...],
        groups: int,
    ) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.geometry = stride, padding, dilation, groups
        return torch.mkldnn_convolution(features, weight, bias, padding, stride, dilation, groups)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        features, weight = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.geometry
        # The backward pass chooses by the batch, too: give it the sample twice, which doubles what is summed over it.
        twice = (2, -1, -1, -1, -1)
        of_features, of_weight, of_bias = torch.ops.aten.convolution_backward(
            gradients[0].expand(twice),
            features.expand(twice),
            weight,
            [len(weight)],
            stride,
            padding,
            dilation,
            False,
            [0, 0, 0],
            groups,
            ctx.needs_input_grad[:3],
        )
        halves = (None if doubled is None else doubled / 2 for doubled in (of_weight, of_bias))
        return None if of_features is None else of_features[:1], *halves, None, None, None, None
