"""A running average of a network's weights, which scores better than the weights of any one step."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

_Tensors = tuple[Tensor, ...] | list[Tensor]


class WeightAverage:
    """The exponential moving average of a network's parameters and of its buffers, batch norm's statistics among them.

    At step n the average keeps `decay` of itself, or (1 + n) / (10 + n) where that is less: so it forgets the random
    start, and early in a run it covers about the last tenth of the steps.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self._updates = 0
        self._average = AveragedModel(network, multi_avg_fn=self._mix, use_buffers=True).requires_grad_(False)

    @property
    def network(self) -> nn.Module:
        """A network of the same kind that holds the average."""
        return self._average.module

    def update(self, network: nn.Module) -> None:
        """Take in the weights that `network` has after a step."""
        self._average.update_parameters(network)
        self._updates += 1

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "updates": self._updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self._updates = state["updates"]
        self._average.n_averaged.fill_(self._updates)

    def _mix(self, averaged: _Tensors, current: _Tensors, count: Tensor | int) -> None:
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        get_ema_multi_avg_fn(decay)(averaged, current, count)
