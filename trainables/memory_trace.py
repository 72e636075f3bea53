"""What a training step and a forward pass hold in memory, found by running them on tensors without data.

A tensor of torch's FakeTensorMode has shape, type and storage size but no memory. So the network, the loss, the
augmentation and autograd do here all that they do in training, in the same order, and what is alive at any moment is
counted (`memory_live.py`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from trainables.augmentation import Augmentation
from trainables.losses import SegmentationLoss
from trainables.memory_live import Held, LiveStorages, tensor_bytes
from trainables.networks import NetworkConfig, build_network, network_layout


@lru_cache(maxsize=256)
def held_by_step(
    network: NetworkConfig,
    *,
    patch_size: tuple[int, int, int],
    batch_size: int,
    loss: str,
    regions: bool,
    augmentation: Augmentation,
    device_type: str,
    half: torch.dtype | None,
) -> Held:
    """One step on `device_type` (`cpu` or `cuda`) but for the optimizer, the forward pass in `half` precision if given.

    The gradients of an earlier step are gone when it begins, as `zero_grad` leaves it.
    """
    with _fake(network, device_type) as (model, live):
        live.purpose = "temporaries"
        image = torch.zeros(batch_size, network.in_channels, *patch_size)
        label = torch.zeros(batch_size, *patch_size, dtype=torch.uint8)
        image, label = augmentation(image, label, np.random.default_rng(0))
        live.assign(image, "inputs")
        live.assign(label, "inputs")
        for parameter in model.parameters():
            parameter.register_post_accumulate_grad_hook(lambda p: live.assign(cast(Tensor, p.grad), "gradients"))
        live.purpose = "activations"
        with _autocast(device_type, half):
            logits = model(image)
        total = SegmentationLoss(loss, regions=regions)(logits, label)
        live.purpose = "temporaries"
        # Blocks that are computed again on the way back are so in the forward pass's format.
        with _autocast(device_type, half):
            _backward(total)
        return live.most


def _backward(total: Tensor) -> None:
    """`total.backward()`, but for that it leaves modes such as `_CudaAutocast` as they are."""
    engine = torch.autograd.Variable._execution_engine
    engine.run_backward(
        (total,), (torch.ones_like(total),), False, False, (), allow_unreachable=True, accumulate_grad=True
    )


@lru_cache(maxsize=256)
def held_by_forward(
    network: NetworkConfig, *, window: tuple[int, int, int], count: int, device_type: str, half: torch.dtype | None
) -> Held:
    """`count` windows of `window` voxels through the network in evaluation mode, their logits in fp32 included."""
    with _fake(network, device_type) as (model, live), torch.inference_mode():
        model.eval()
        live.purpose = "inputs"
        image = torch.zeros(count, network.in_channels, *window)
        live.purpose = "temporaries"
        with _autocast(device_type, half):
            model(image).float()
        return live.most


@lru_cache(maxsize=256)
def held_by_network(network: NetworkConfig) -> tuple[int, int]:
    """Bytes of a network's parameters, and of its buffers."""
    with torch.device("meta"):
        model = build_network(network, "meta")
    return tensor_bytes(model.parameters()), tensor_bytes(model.buffers())


@contextmanager
def _fake(network: NetworkConfig, device_type: str) -> Iterator[tuple[nn.Module, LiveStorages]]:
    """A network in training mode whose parameters have no data, and what counts all that is made in the context.

    Its tensors say that they are on a CPU whatever the device, since torch without CUDA makes no others, not even
    these. Their layout is the device's, so that the layers choose the way that they choose there.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    with torch.device("meta"):
        model = build_network(network, "meta")
    live = LiveStorages(unfolded=_unfolded_formats(device_type))
    # The random choices of an augmentation are real arrays; they are taken in as tensors without data, too.
    with FakeTensorMode(allow_non_fake_inputs=True), live:
        for module in model.modules():
            for name, parameter in module.named_parameters(recurse=False):
                memory_format = network_layout(device_type) if parameter.dim() == 5 else torch.contiguous_format
                empty = torch.empty(parameter.shape, dtype=parameter.dtype, memory_format=memory_format)
                setattr(module, name, nn.Parameter(empty))
            for name, buffer in module.named_buffers(recurse=False):
                setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))
        yield model, live


def _unfolded_formats(device_type: str) -> list[torch.dtype]:
    """The formats that oneDNN does not convolve in on this processor, so that torch goes its own way."""
    if device_type != "cpu":
        return []
    if not torch.backends.mkldnn.is_available():
        return [torch.float32, torch.bfloat16, torch.float16]
    known = torch.ops.mkldnn
    supported = {torch.bfloat16: known._is_mkldnn_bf16_supported, torch.float16: known._is_mkldnn_fp16_supported}
    return [dtype for dtype, has in supported.items() if not has()]


def _autocast(device_type: str, half: torch.dtype | None) -> AbstractContextManager[Any]:
    if half is None:
        return nullcontext()
    return _CudaAutocast(half) if device_type == "cuda" else torch.autocast(device_type, dtype=half)


class _CudaAutocast(TorchFunctionMode):
    """What `torch.autocast("cuda")` does to the functions that networks here are made of, for tensors on any device.

    The table is the one in torch's ATen/autocast_mode.h: convolutions and matrix products in half precision, group
    norm in fp32, the rest as it comes. A CPU's autocast has another table.
    """

    _TO_HALF = (torch.conv3d, torch.conv_transpose3d, F.linear, torch.matmul)
    _TO_FLOAT = (F.group_norm, torch.group_norm, F.interpolate)

    def __init__(self, half: torch.dtype) -> None:
        super().__init__()
        self._half = half

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        dtype = self._half if func in self._TO_HALF else torch.float32 if func in self._TO_FLOAT else None
        if dtype is not None:
            args = [_as(dtype, arg) for arg in args]
            kwargs = {key: _as(dtype, arg) for key, arg in kwargs.items()}
        return func(*args, **kwargs)


def _as(dtype: torch.dtype, arg: Any) -> Any:
    return arg.to(dtype) if isinstance(arg, Tensor) and arg.is_floating_point() else arg
