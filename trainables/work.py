"""How much work one training step of a network is: in floating-point operations, and in a budget's unit."""

from collections.abc import Sequence
from functools import lru_cache
from math import prod

import torch

from trainables.networks import NetworkConfig, build_network
from trainables.protocol import BudgetUnit


def step_cost(unit: BudgetUnit, network: NetworkConfig, patch_size: Sequence[int], batch_size: int) -> float | None:
    """What a step over `batch_size` patches uses of a budget in `unit`; None where only a clock can tell."""
    match unit:
        case "steps":
            return 1.0
        case "voxels":
            return float(batch_size * prod(patch_size))
        case "flops":
            return float(training_step_flops(network, patch_size, batch_size))
        case "seconds":
            return None


def training_step_flops(config: NetworkConfig, patch_size: Sequence[int], batch_size: int) -> int:
    """FLOPs of one forward and backward pass over `batch_size` patches of `patch_size` voxels (x, y, z).

    Convolutions only, two FLOPs a multiplication and addition: what torch's FlopCounterMode counts. Loss, optimizer,
    normalisation and activation are left out; they move memory rather than calculate. Nothing of that size is
    allocated: the network is traced on the meta device.
    """
    # A patch of a batch costs as much as any other, so one count serves all batch sizes.
    return _flops_of_a_patch(config, tuple(patch_size)) * batch_size


@lru_cache(maxsize=256)
def _flops_of_a_patch(config: NetworkConfig, patch_size: tuple[int, ...]) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        network = build_network(config, "meta")
        patch = torch.empty(1, config.in_channels, *patch_size)
    with FlopCounterMode(display=False) as counter:
        logits = network(patch)
        levels = [logits] if isinstance(logits, torch.Tensor) else logits
        torch.stack([level.sum() for level in levels]).sum().backward()
    return counter.get_total_flops()
