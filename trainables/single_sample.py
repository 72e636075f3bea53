"""Convolutions of a batch of one on a CPU, through the library that torch keeps for larger batches."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class SingleSampleConvolution(TorchFunctionMode):
    """Within it, 3D convolutions of one sample in fp32 on a CPU are done by oneDNN.

    torch gives a small batch of one to its own implementation, which takes 1.1 to 5 times as long. What it does with
    larger batches, in half precision and on other devices stays as it is. For inference: the way back would not gain.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.conv3d and not kwargs and _would_be_slow(args[0]):
            features, weight, bias, stride, padding, dilation, groups = args
            return torch.mkldnn_convolution(features, weight, bias, padding, stride, dilation, groups)
        return func(*args, **(kwargs or {}))


def _would_be_slow(features: Tensor) -> bool:
    return (
        len(features) == 1
        and features.device.type == "cpu"
        and features.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
    )
