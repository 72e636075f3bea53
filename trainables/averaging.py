"""A running average of a network's weights, which scores better than the weights of any one step."""

from collections.abc import Mapping
from copy import deepcopy
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """The exponential moving average of a network's parameters and of its buffers, batch norm's statistics among them.

    At step n the average keeps `decay` of itself, or (1 + n) / (10 + n) where that is less: so it forgets the random
    start, and early in a run it covers about the last tenth of the steps. The first step's weights it takes as they
    are. Whole numbers among the buffers are those of the last step.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self._updates = 0
        self._network = deepcopy(network).requires_grad_(False)
        self._averages, self._counts = _tensors(self._network)

    @property
    def network(self) -> nn.Module:
        """A network of the same kind that holds the average."""
        return self._network

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the weights that `network` has after a step."""
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates)) if self._updates else 0.0
        weights, counts = _tensors(network)
        # torch's AveragedModel does the same in three times the time, most of it for looking at the tensors one by one.
        torch._foreach_lerp_(self._averages, weights, 1 - decay)
        for count, latest in zip(self._counts, counts, strict=True):
            count.copy_(latest)
        self._updates += 1

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "updates": self._updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self._updates = state["updates"]


def _tensors(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Parameters and buffers: those of floating point, and those of whole numbers."""
    both: tuple[list[Tensor], list[Tensor]] = [], []
    for tensor in chain(network.parameters(), network.buffers()):
        both[not tensor.is_floating_point()].append(tensor)
    return both
