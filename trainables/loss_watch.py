"""Adds up a rung's losses on the device, and ends a run whose loss is no longer finite; the device does not wait."""

from collections.abc import Callable

import torch
from torch import Tensor

CHECK_EVERY = 32
"""Steps between two looks at the loss on a GPU. A CPU's is looked at every step."""


class LossWatch:
    """The losses of one rung."""

    def __init__(self, device: torch.device, error: Callable[[float], Exception]) -> None:
        """`error`: what is raised of a loss that is not finite."""
        self._device = device
        self._error = error
        self._sum = torch.zeros((), dtype=torch.float64, device=device)
        self._steps = 0
        self._seen: tuple[Tensor, torch.cuda.Event] | None = None

    def add(self, loss: Tensor) -> None:
        """Count one step's loss. Raises the error at once on a CPU, within some steps on a GPU."""
        self._sum += loss
        self._steps += 1
        if self._device.type == "cpu":
            self._check(self._sum)
        elif self._steps % CHECK_EVERY == 0:
            self._look_back()

    def mean(self) -> float:
        """The mean loss, once the device is done. Raises the error."""
        self._check(self._sum)
        return float(self._sum) / self._steps

    def _look_back(self) -> None:
        """Ask for the losses so far, and check those asked for earlier: the host does not wait for the device."""
        if self._seen is not None:
            if not self._seen[1].query():  # the device is further behind than that
                return
            self._check(self._seen[0])
        now = torch.empty_like(self._sum, device="cpu", pin_memory=True).copy_(self._sum, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record()
        self._seen = (now, copied)

    def _check(self, losses: Tensor) -> None:
        if not torch.isfinite(losses):
            raise self._error(float(losses))
