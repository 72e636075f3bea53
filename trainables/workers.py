"""Several processes that train one network together: each takes a part of every batch, and of the validation cases.

All begin with the same weights and add up their gradients before each step of the optimizer, so the weights stay the
same. The gradients go in one piece after the way back: a 3D network computes long and has few weights, so there is
little to gain from sending some while others are still computed, as DistributedDataParallel does, which would bring
rules of its own for parts of a batch, graphs and layers that a step does not use.
"""

import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")

PATIENCE = timedelta(minutes=30)
"""How long a worker waits for the others, at the end of an evaluation say."""


@dataclass(frozen=True, kw_only=True)
class Workers:
    """The processes of one run, as one of them sees them. They have met, see `meet`, if there are several."""

    rank: int = 0
    """This one's number; the first one saves states and models."""

    count: int = 1

    def part(self, total: int) -> range:
        """This worker's of `total` things, some next to one another: patches of a batch."""
        return range(total * self.rank // self.count, total * (self.rank + 1) // self.count)

    def add_up(self, parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
        """Add the gradients of all workers up, in place, and their losses. Returns the sum of the losses."""
        if self.count == 1:
            return loss
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([loss.reshape(1), *(gradient.flatten() for gradient in gradients)])
        _add_up(flat)
        total, *sums = flat.split([1, *(gradient.numel() for gradient in gradients)])
        for gradient, found in zip(gradients, sums, strict=True):
            gradient.copy_(found.view(gradient.shape))
        return total.reshape(())

    def same_buffers(self, network: nn.Module) -> None:
        """Give all workers the first one's buffers: statistics that each may have gathered for itself."""
        if self.count > 1:
            for buffer in network.buffers():
                dist.broadcast(buffer, src=0)

    def gathered(self, own: Mapping[str, T], order: Sequence[str]) -> dict[str, T]:
        """What all workers have found, by name in this order."""
        if self.count == 1:
            return dict(own)
        parts: list[Any] = [None] * self.count
        dist.all_gather_object(parts, dict(own))
        found = {name: value for part in parts for name, value in part.items()}
        return {name: found[name] for name in order}


def free_address(host: str) -> str:
    """`HOST:PORT` on this machine, reached as `host`, where nobody listens: a place to meet."""
    with socket.socket() as free:
        free.bind((host, 0))
        return f"{host}:{free.getsockname()[1]}"


def meet(workers: Workers, *, address: str, device: str) -> None:
    """Have this process meet the others, who all call this, at the first one's `HOST:PORT`: NCCL on GPUs, else gloo."""
    dist.init_process_group(
        "nccl" if device == "cuda" else "gloo",
        init_method=f"tcp://{address}",
        rank=workers.rank,
        world_size=workers.count,
        timeout=PATIENCE,
    )


def leave() -> None:
    """Leave the others, if there are any: who waits for this process is told that it is gone."""
    if dist.is_initialized():
        dist.destroy_process_group()


class ExchangeClock:
    """How long this process has added values up with others, waiting for them included.

    On a GPU that is the device's time between two events, read when it is asked for, so that no step waits for it.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def measured(self, device: torch.device) -> Iterator[None]:
        if device.type == "cuda":
            began, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            began.record()
            yield
            ended.record()
            self._events.append((began, ended))
        else:
            started = time.perf_counter()
            yield
            self._seconds += time.perf_counter() - started

    def seconds(self) -> float:
        """So far. Waits for the device."""
        events, self._events = self._events, []
        for began, ended in events:
            ended.synchronize()
            self._seconds += began.elapsed_time(ended) / 1000
        return self._seconds


_clock = ExchangeClock()
"""One for the process, as the group of workers is, which torch keeps."""


def exchange_seconds() -> float:
    """How long this process has added values up with other workers since it began. Waits for the device."""
    return _clock.seconds()


def _add_up(values: Tensor) -> None:
    with _clock.measured(values.device):
        dist.all_reduce(values)


class SharedBatchNorm(nn.BatchNorm3d):
    """Batch norm over the batches of all workers. torch's SyncBatchNorm does the same, but on GPUs only."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        features = input.float()
        variance, mean = torch.var_mean(features, dim=(0, 2, 3, 4), correction=0)
        count = torch.full_like(mean, features.numel() / features.shape[1], dtype=torch.float64)
        # In double precision, since the squares of the means nearly cancel out.
        sums = torch.stack([count, count * mean, count * (variance + mean.double().square())])
        count, mean_sum, square_sum = _added_up(sums)
        mean = mean_sum / count
        variance = square_sum / count - mean.square()
        self._remember(mean.detach(), (variance * count / (count - 1)).detach())
        scale = self.weight * torch.rsqrt(variance + self.eps).float()
        shift = self.bias - mean.float() * scale
        shape = (1, -1, 1, 1, 1)
        return torch.addcmul(shift.view(shape), features, scale.view(shape)).to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            return
        self.running_mean.lerp_(mean.float(), self.momentum)
        self.running_var.lerp_(variance.float(), self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1


def share_statistics(network: nn.Module) -> None:
    """Have each batch norm of `network` see the batches of all workers."""
    for module in network.modules():
        if type(module) is nn.BatchNorm3d:
            module.__class__ = SharedBatchNorm  # the same parameters and buffers, another way forward


class _AllReduce(torch.autograd.Function):
    """A sum over the workers, and of its gradients on the way back: each worker's loss depends on all their values."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        values = values.clone()
        _add_up(values)
        return values

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        gradient = gradient.contiguous()
        _add_up(gradient)
        return gradient


def _added_up(values: Tensor) -> Tensor:
    total: Tensor = _AllReduce.apply(values)
    return total
