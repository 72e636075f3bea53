"""Blocks that are computed again on the way back: the same training for less memory."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from trainables.augmentation import Augmentation
from trainables.losses import SegmentationLoss
from trainables.memory_live import Held
from trainables.memory_trace import held_by_step
from trainables.network_config import ARCHITECTURES, NetworkConfig
from trainables.networks import build_network, level_strides

PLAIN = NetworkConfig(
    architecture="compact_unet",
    in_channels=1,
    out_channels=3,
    width=8,
    levels=3,
    strides=level_strides(3, (1, 1, 1)),
    normalisation="batch",
)


def built(config: NetworkConfig) -> nn.Module:
    torch.manual_seed(0)
    return build_network(config)


def trained(network: nn.Module, steps: int = 2) -> Sequence[torch.Tensor]:
    """Gradients and buffers after so many backward passes."""
    torch.manual_seed(1)
    image = torch.randn(2, 1, 16, 16, 16)
    label = torch.randint(0, 3, (2, 16, 16, 16), dtype=torch.uint8)
    for _ in range(steps):
        network.zero_grad()
        SegmentationLoss("dice_ce", False)(network(image), label).backward()
    return [p.grad for p in network.parameters() if p.grad is not None] + list(network.buffers())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("settings", [{}, {"dropout": 0.3}, {"normalisation": "instance"}], ids=str)
def test_gradients_and_statistics_are_the_same(architecture: str, settings: dict[str, object]) -> None:
    config = replace(PLAIN, architecture=architecture, **settings)  # type: ignore[arg-type]
    plain, recomputing = built(config), built(replace(config, activation_checkpointing=True))

    assert recomputing.state_dict().keys() == plain.state_dict().keys()
    for found, expected in zip(trained(recomputing), trained(plain), strict=True):
        assert torch.allclose(found, expected, atol=1e-6)


def test_a_copy_computes_with_its_own_weights() -> None:
    """As the running average of the weights is one."""
    network = built(replace(PLAIN, activation_checkpointing=True))
    copied = deepcopy(network)
    before = torch.cat([p.flatten() for p in copied.parameters()]).clone()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()

    image = torch.randn(1, 1, 16, 16, 16)
    assert copied(image).abs().max() > 0
    assert torch.equal(torch.cat([p.flatten() for p in copied.parameters()]), before)


@pytest.mark.parametrize("half", [None, torch.float16])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_far_less_is_kept_for_the_way_back(architecture: str, half: torch.dtype | None) -> None:
    def held(config: NetworkConfig) -> Held:
        return held_by_step(
            config,
            patch_size=(32, 32, 32),
            batch_size=2,
            loss="dice_ce",
            regions=False,
            augmentation=Augmentation(),
            device_type="cuda",
            half=half,
        )

    plain = replace(PLAIN, architecture=architecture)
    before, now = held(plain), held(replace(plain, activation_checkpointing=True))
    assert now["activations"] < 0.75 * before["activations"]
    assert now.total < 0.85 * before.total


def test_nothing_is_computed_again_in_an_evaluation() -> None:
    network = built(replace(PLAIN, activation_checkpointing=True)).eval()
    calls: list[int] = []
    network.down[0][0].register_forward_hook(lambda *_: calls.append(1))  # type: ignore[union-attr, index]
    network(torch.randn(1, 1, 16, 16, 16)).sum().backward()
    assert len(calls) == 1
