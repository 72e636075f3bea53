import pytest
import torch
from torch import nn

from trainables.errors import SettingError
from trainables.networks import NetworkConfig, build_network


def config(**settings: object) -> NetworkConfig:
    defaults = {
        "architecture": "compact_unet",
        "in_channels": 2,
        "out_channels": 3,
        "width": 4,
        "levels": 3,
        "strides": ((2, 2, 1), (2, 2, 2)),
    }
    return NetworkConfig(**(defaults | settings))  # type: ignore[arg-type]


def convolutions(network: nn.Module) -> list[tuple[int, int, tuple[int, ...], tuple[int, ...]]]:
    return [
        (m.in_channels, m.out_channels, m.kernel_size, m.stride) for m in network.modules() if isinstance(m, nn.Conv3d)
    ]


def test_logits_have_the_size_of_the_image() -> None:
    logits = build_network(config())(torch.randn(2, 2, 16, 12, 6))

    assert logits.shape == (2, 3, 16, 12, 6)


def test_it_is_made_of_one_convolution_at_full_resolution_each_way() -> None:
    three, one = (3, 3, 3), (1, 1, 1)

    assert convolutions(build_network(config())) == [
        (2, 4, three, one),
        (4, 8, three, (2, 2, 1)),
        (8, 8, three, one),
        (8, 16, three, (2, 2, 2)),
        (16, 16, three, one),
        (4, 4, three, one),
        (8, 8, three, one),
        (4, 3, one, one),
    ]


def test_every_weight_matters() -> None:
    network = build_network(config(dropout=0.1, deep_supervision=True))
    sum(level.square().mean() for level in network(torch.randn(2, 2, 16, 16, 8))).backward()

    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_deep_supervision_gives_every_level_in_training_only() -> None:
    network = build_network(config(deep_supervision=True))
    image = torch.randn(2, 2, 16, 12, 6)

    assert [tuple(level.shape) for level in network(image)] == [(2, 3, 16, 12, 6), (2, 3, 8, 6, 6)]
    assert network.eval()(image).shape == (2, 3, 16, 12, 6)


@pytest.mark.parametrize("normalisation", ["instance", "batch", "group", "none"])
def test_every_normalisation_fits(normalisation: str) -> None:
    network = build_network(config(normalisation=normalisation))

    assert network(torch.randn(2, 2, 8, 8, 8)).isfinite().all()
    assert (network.enter[0].bias is not None) == (normalisation == "none")


def test_width_is_bounded() -> None:
    assert config(levels=5, width=64, strides=((2, 2, 2),) * 4).channels == (64, 128, 256, 320, 320)
    with pytest.raises(SettingError, match="width: must be a whole number from 2 to 320, got 512"):
        config(width=512)
