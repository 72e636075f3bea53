import re

import pytest
import torch
import yaml

from trainables.errors import SettingError
from trainables.segmentation_config import SegmentationConfig, parse_patch_size


def message(settings: dict) -> str:
    with pytest.raises(SettingError) as error:
        SegmentationConfig.from_mapping(settings)
    return str(error.value)


def test_defaults_hold_and_come_back_from_their_mapping() -> None:
    config = SegmentationConfig()

    assert SegmentationConfig.from_mapping({}) == config
    assert SegmentationConfig.from_mapping(yaml.safe_load(yaml.safe_dump(config.to_mapping()))) == config


@pytest.mark.parametrize("value", [32, "32", "32x32x32", [32, 32, 32], (32, 32, 32)])
def test_patch_sizes_may_be_written_in_several_ways(value: object) -> None:
    assert SegmentationConfig.from_mapping({"patch_size": value}).patch_size == (32, 32, 32)


def test_patch_sizes_are_in_the_order_of_the_axes() -> None:
    assert parse_patch_size("40x56x48") == (40, 56, 48)


@pytest.mark.parametrize("value", [32.0, "32x32", "axbxc", [32, 32], [32.0, 32, 32], True, None, "-32"])
def test_other_patch_sizes_are_refused(value: object) -> None:
    assert message({"patch_size": value}) == (
        f'patch_size: must be a whole number or three such as "32x48x32" or [32, 48, 32], got {value!r}'
    )


def test_whole_numbers_do_for_numbers() -> None:
    config = SegmentationConfig.from_mapping({"learning_rate": 1, "foreground_fraction": 1})

    assert config.learning_rate == 1.0
    assert type(config.learning_rate) is float


def test_unknown_settings_are_refused_with_the_nearest_known() -> None:
    assert message({"learning_rat": 1e-3}) == (
        "learning_rat: not a setting of a segmentation run; did you mean learning_rate?"
    )
    assert message({"zzz": 1}).startswith("zzz: not a setting of a segmentation run; known are network, width, levels")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"width": 8.0}, "width: must be a whole number, got 8.0"),
        ({"batch_size": True}, "batch_size: must be a whole number, got True"),
        ({"batch_size": 0}, "batch_size: must be at least 1, got 0"),
        ({"patch_size": [0, 32, 32]}, "patch_size: must be made of numbers above 0, got '0x32x32'"),
        ({"learning_rate": "1e-3"}, "learning_rate: must be a number, got '1e-3'"),
        ({"learning_rate": float("inf")}, "learning_rate: must be finite, got inf"),
        ({"learning_rate": 0.0}, "learning_rate: must be more than 0, got 0.0"),
        ({"network": "vnet"}, "network: must be one of .*, got 'vnet'"),
        ({"levels": 12}, "levels: must be a whole number from 2 to 8, got 12"),
        ({"normalisation": "layer"}, "normalisation: must be one of .*, got 'layer'"),
        ({"dropout": 1.0}, "dropout: must be at least 0 and less than 1, got 1.0"),
        ({"deep_supervision": 1}, "deep_supervision: must be true or false, got 1"),
        ({"optimizer": "adan"}, "optimizer: must be one of adam, adamw, sgd, got 'adan'"),
        ({"beta2": 1.0}, "beta2: must be at least 0 and less than 1, got 1.0"),
        ({"schedule": "step"}, "schedule: must be one of constant, cosine, polynomial, got 'step'"),
        ({"warmup": 1.0}, "warmup: must be at least 0 and less than 1, got 1.0"),
        ({"gradient_clip": -1.0}, "gradient_clip: must be at least 0, got -1.0"),
        ({"loss": "ce"}, "loss: must be one of dice, dice_ce, got 'ce'"),
        ({"precision": "fp64"}, "precision: must be one of auto, fp32, tf32, fp16, bf16, got 'fp64'"),
        ({"foreground_fraction": 1.2}, "foreground_fraction: must be from 0 to 1, got 1.2"),
        ({"weight_averaging": 1.0}, "weight_averaging: must be at least 0 and less than 1, got 1.0"),
        ({"overlap": 1.0}, "overlap: must be at least 0 and less than 1, got 1.0"),
        ({"flips": True}, "flips: must be text, got True"),
        ({"flips": "ab"}, "flips: must be different letters out of xyz, or empty, got 'ab'"),
    ],
)
def test_bad_settings_are_named_with_rule_and_value(settings: dict, expected: str) -> None:
    assert re.fullmatch(re.escape(expected).replace(r"\.\*", ".*"), message(settings))


def test_the_network_follows_the_spacing() -> None:
    config = SegmentationConfig(network="unet3d", levels=3, width=16, normalisation="instance")

    network = config.network_config(spacing=(0.8, 0.8, 5.0), in_channels=4, out_channels=2)

    assert network.strides == ((2, 2, 1), (2, 2, 1))
    assert (network.in_channels, network.out_channels, network.width) == (4, 2, 16)
    assert network.normalisation == "instance"


def test_augmentation_gets_its_settings_and_the_spacing() -> None:
    config = SegmentationConfig(rotations=0.5, tilt=20.0, zoom=0.1, noise=0.3, flips="x")

    augmentation = config.augmentation(spacing=(0.8, 0.8, 5.0))

    assert (augmentation.rotations, augmentation.tilt, augmentation.zoom) == (0.5, 20.0, 0.1)
    assert (augmentation.noise, augmentation.flips, augmentation.spacing) == (0.3, "x", (0.8, 0.8, 5.0))


def test_the_optimizer_gets_its_settings() -> None:
    config = SegmentationConfig(optimizer="sgd", learning_rate=0.5, momentum=0.8, weight_decay=0.1)

    optimizer = config.build_optimizer([torch.nn.Parameter(torch.zeros(1))])

    assert isinstance(optimizer, torch.optim.SGD)
    group = optimizer.param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.5, 0.8, 0.1)
