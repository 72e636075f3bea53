"""Every architecture, with every setting that it shares with the others."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainables.errors import SettingError
from trainables.network_config import ARCHITECTURES, NORMALISATIONS, NetworkConfig
from trainables.networks import build_network, level_strides, place_network

ANISOTROPIC = level_strides(3, (1.0, 1.0, 3.0))


def config(architecture: str = "unet3d", **settings: Any) -> NetworkConfig:
    known: dict[str, Any] = {"in_channels": 2, "out_channels": 3, "width": 4, "levels": 3, "strides": ANISOTROPIC}
    return NetworkConfig(architecture=architecture, **{**known, **settings})


def build(architecture: str = "unet3d", **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    return build_network(config(architecture, **settings))


def image() -> Tensor:
    return torch.randn(2, 2, 16, 12, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_have_the_size_of_the_image_and_every_weight_learns(architecture: str, normalisation: str) -> None:
    network = build(architecture, normalisation=normalisation)
    logits = network(image())
    assert logits.shape == (2, 3, 16, 12, 6)
    # Not their sum: it would not reach the weights before a normalisation.
    nn.functional.cross_entropy(logits, torch.randint(0, 3, (2, 16, 12, 6))).backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.dim() == 5]
    assert all(gradient is not None and gradient.abs().max() > 0 for gradient in gradients)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(
    ("kind", "layer"), [("instance", nn.InstanceNorm3d), ("batch", nn.BatchNorm3d), ("group", nn.GroupNorm)]
)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_normalisation_is_the_one_asked_for(architecture: str, kind: str, layer: type[nn.Module]) -> None:
    layers = {type(m) for m in build(architecture, normalisation=kind).modules()}
    others = {nn.InstanceNorm3d, nn.BatchNorm3d, nn.GroupNorm} - {layer}
    assert any(issubclass(found, layer) for found in layers)
    assert not any(issubclass(found, other) for found in layers for other in others)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_without_normalisation_convolutions_have_biases(architecture: str) -> None:
    modules = list(build(architecture, normalisation="none").modules())
    assert not any("Norm" in type(module).__name__ for module in modules)
    assert all(module.bias is not None for module in modules if isinstance(module, nn.Conv3d))


def test_groups_are_eight_or_what_divides() -> None:
    modules = build(width=12, normalisation="group").modules()
    groups = {module.num_channels: module.num_groups for module in modules if isinstance(module, nn.GroupNorm)}
    assert groups == {12: 4, 24: 8, 48: 8, 96: 8}


@pytest.mark.parametrize("architecture", ["compact_unet", "unet3d", "dynunet"])
def test_deep_supervision_gives_every_decoder_level_while_training(architecture: str) -> None:
    network = build(architecture, deep_supervision=True)
    levels = network(image())
    assert [tuple(level.shape) for level in levels] == [(2, 3, 16, 12, 6), (2, 3, 8, 6, 6)]
    sum(level.square().mean() for level in levels).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    copy.deepcopy(network)  # no activations are left in it

    network.eval()
    assert network(image()).shape == (2, 3, 16, 12, 6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_dropout_drops_whole_channels_while_training_and_spares_the_logits(architecture: str) -> None:
    network = build(architecture, width=16, dropout=0.1)
    kinds = [m for m in network.modules() if "Dropout" in type(m).__name__]
    assert kinds
    assert {type(m) for m in kinds} == {nn.Dropout3d}
    assert {m.p for m in kinds} == {0.1}
    assert not torch.equal(network(image()), network(image()))
    # A class that was dropped would have one logit everywhere: the bias, or 0. Of 48 some would be.
    varying = [network(image()).flatten(2).std(-1).min() > 1e-6 for _ in range(8)]
    assert all(varying)
    network.eval()
    assert torch.equal(network(image()), network(image()))


def test_the_original_unet_has_the_channels_and_weights_of_the_paper() -> None:
    original = NetworkConfig(
        architecture="unet3d",
        in_channels=3,
        out_channels=3,
        width=32,
        levels=4,
        strides=level_strides(4, (1, 1, 1)),
        normalisation="batch",
    )
    assert original.channels == (32, 64, 128, 256)
    network = build_network(original, "meta")
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv3d) and m.kernel_size == (3, 3, 3)]
    assert [(m.in_channels, m.out_channels) for m in convolutions] == [
        *[(3, 32), (32, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512)],
        *[(64 + 128, 64), (64, 64), (128 + 256, 128), (128, 128), (256 + 512, 256), (256, 256)],
    ]
    # Cicek et al. count 19,069,955: biases of the convolutions (here the norms have them), no scales of the norms.
    scales = sum(m.num_features for m in network.modules() if isinstance(m, nn.BatchNorm3d))
    assert sum(parameter.numel() for parameter in network.parameters()) - scales == 19_069_955


def test_channels_stop_doubling_at_the_bound() -> None:
    strides = level_strides(6, (1, 1, 1))
    assert config("dynunet", width=32, levels=6, strides=strides).channels == (32, 64, 128, 256, 320, 320)
    assert config("residual_unet", width=64, levels=6, strides=strides).channels == (64, 128, 256, 512, 512, 512)


def test_dynunet_convolves_in_plane_where_slices_are_far_apart() -> None:
    modules = build("dynunet", strides=((2, 2, 1), (2, 2, 2))).get_submodule("input_block").modules()
    assert [module.kernel_size for module in modules if isinstance(module, nn.Conv3d)] == [(3, 3, 1), (3, 3, 1)]


def test_the_seed_decides_the_weights() -> None:
    first, again = build("dynunet").state_dict(), build("dynunet").state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)


def test_a_cpu_gets_weights_in_channels_last_and_the_same_logits() -> None:
    network = build("unet3d", width=8)
    weights = [p for p in network.parameters() if p.dim() == 5 and p.shape[1] > 1 and p.shape[2] > 1]
    assert weights
    assert all(weight.is_contiguous(memory_format=torch.channels_last_3d) for weight in weights)
    contiguous = copy.deepcopy(network)
    for parameter in contiguous.parameters():
        parameter.data = parameter.data.contiguous()
    torch.testing.assert_close(network(image()), contiguous(image()), rtol=1e-4, atol=1e-5)


def test_an_image_of_one_channel_takes_a_network_to_channels_last() -> None:
    network = build("compact_unet", in_channels=1)
    finest = network.get_submodule("enter")(torch.zeros(2, 1, 16, 16, 16))
    assert finest.is_contiguous(memory_format=torch.channels_last_3d)
    assert not finest.is_contiguous()


def test_another_device_gets_contiguous_weights() -> None:
    weights = [p for p in place_network(build("unet3d"), "meta").parameters() if p.dim() == 5]
    assert all(weight.is_contiguous() for weight in weights)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_settings_survive_plain_types(architecture: str) -> None:
    original = config(architecture, normalisation="batch", dropout=0.25)
    assert NetworkConfig.from_mapping(original.to_mapping()) == original
    assert original.to_mapping()["strides"] == [[2, 2, 1], [2, 2, 2]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"architecture": "vnet"},
            "network: must be one of compact_unet, unet3d, residual_unet, dynunet, got 'vnet'",
        ),
        ({"normalisation": "layer"}, "normalisation: must be one of instance, batch, group, none, got 'layer'"),
        ({"width": 1}, "width: must be a whole number from 2 to 256, got 1"),
        ({"width": 512}, "width: must be a whole number from 2 to 256, got 512"),
        ({"width": 8.0}, "width: must be a whole number from 2 to 256, got 8.0"),
        ({"levels": True}, "levels: must be a whole number from 2 to 8, got True"),
        (
            {"architecture": "dynunet", "levels": 2, "strides": ((2, 2, 2),)},
            "levels: must be a whole number from 3 to 8, got 2",
        ),
        ({"out_channels": 0}, "out_channels: must be a whole number from 1 to 256, got 0"),
        ({"dropout": 1.0}, "dropout: must be at least 0 and less than 1, got 1.0"),
        ({"dropout": "0.1"}, "dropout: must be at least 0 and less than 1, got '0.1'"),
        ({"deep_supervision": 1}, "deep_supervision: must be true or false, got 1"),
        (
            {"architecture": "residual_unet", "deep_supervision": True},
            "deep_supervision: residual_unet has no outputs at its coarser levels; "
            "use network compact_unet, unet3d or dynunet, or deep_supervision false",
        ),
        (
            {"levels": 2, "strides": ((2, 2, 2),), "deep_supervision": True},
            "deep_supervision: needs levels to be at least 3, got 2, which leaves no coarser output",
        ),
        (
            {"strides": ((2, 2, 2),)},
            "strides: must be 2 triples of 1 or 2, one fewer than levels, got ((2, 2, 2),)",
        ),
        (
            {"strides": ((2, 2, 2), (1, 1, 1))},
            "strides: must be 2 triples of 1 or 2, one fewer than levels, got ((2, 2, 2), (1, 1, 1))",
        ),
    ],
)
def test_settings_that_break_a_rule(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError) as error:
        replace(config(), **settings)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("change", "start"),
    [
        ({"depth": 3}, "depth: not a setting of a network; known are activation_checkpointing, architecture,"),
        ({"strides": "222"}, "strides: must be 2 triples of 1 or 2"),
        ({"strides": 2}, "strides: must be a list of triples, got 2"),
    ],
)
def test_mappings_that_are_no_network(change: dict[str, Any], start: str) -> None:
    with pytest.raises(SettingError) as error:
        NetworkConfig.from_mapping({**config().to_mapping(), **change})
    assert str(error.value).startswith(start)


def test_a_missing_setting_is_named() -> None:
    mapping = config().to_mapping()
    del mapping["width"]
    with pytest.raises(SettingError, match=r"^width: missing from the network's settings$"):
        NetworkConfig.from_mapping(mapping)
