"""The configurations that `memory_estimate.py` measures: a table, and others that constants are fitted on."""

from collections.abc import Mapping, Sequence
from typing import Any

Config = tuple[str, int, int, str, int, Mapping[str, Any]]
"""Network, width, levels, patch size, batch size, other settings."""

BF16 = {"precision": "bf16"}
"""A CPU without AMX or AVX-512 emulates it, some 20 times slower: so these are small."""

CPU_TABLE: Sequence[Config] = (
    ("compact_unet", 8, 4, "64", 8, {}),
    ("compact_unet", 8, 4, "128", 1, {}),
    ("compact_unet", 8, 4, "96", 3, {"normalisation": "instance"}),
    ("compact_unet", 16, 4, "64", 4, {}),
    ("compact_unet", 16, 5, "96x96x64", 2, {"optimizer": "sgd"}),
    ("compact_unet", 12, 4, "80", 4, {"loss": "dice"}),
    ("compact_unet", 24, 4, "64", 3, {"normalisation": "group"}),
    ("unet3d", 8, 4, "64", 2, {}),
    ("unet3d", 8, 4, "64", 3, {"normalisation": "instance"}),
    ("unet3d", 8, 4, "96", 1, {}),
    ("unet3d", 4, 4, "80", 3, {"normalisation": "none"}),
    ("unet3d", 4, 4, "96", 2, {"normalisation": "instance", "deep_supervision": True}),
    ("unet3d", 6, 3, "64", 4, {"normalisation": "group", "amsgrad": True, "optimizer": "adam"}),
    ("residual_unet", 16, 4, "128", 1, {}),
    ("residual_unet", 16, 5, "96", 5, {"normalisation": "instance"}),
    ("residual_unet", 32, 4, "96", 1, {"normalisation": "group"}),
    ("residual_unet", 24, 4, "80", 3, {"dropout": 0.1}),
    ("residual_unet", 16, 4, "64", 12, {}),
    ("compact_unet", 8, 4, "64", 1, BF16),
    ("compact_unet", 4, 4, "64", 4, {"normalisation": "instance", **BF16}),
    ("compact_unet", 4, 4, "80", 2, BF16),
    ("compact_unet", 8, 4, "48", 3, {"normalisation": "group", **BF16}),
    ("unet3d", 2, 4, "64", 1, BF16),
    ("unet3d", 2, 3, "64", 2, {"normalisation": "instance", **BF16}),
    ("unet3d", 2, 4, "48", 4, BF16),
    ("unet3d", 4, 3, "48", 1, BF16),
    ("residual_unet", 8, 4, "64", 4, BF16),
    ("residual_unet", 8, 4, "96", 1, {"normalisation": "instance", **BF16}),
    ("residual_unet", 16, 4, "64", 2, BF16),
    ("residual_unet", 4, 4, "64", 8, {"normalisation": "group", **BF16}),
)
CPU_FIT: Sequence[Config] = (
    ("compact_unet", 8, 4, "96", 2, {}),
    ("compact_unet", 16, 4, "80", 2, {"normalisation": "instance"}),
    ("compact_unet", 32, 3, "48", 3, {}),
    ("unet3d", 16, 3, "48", 2, {}),
    ("unet3d", 4, 3, "80", 2, {"normalisation": "instance"}),
    ("residual_unet", 16, 4, "96", 4, {}),
    ("residual_unet", 32, 4, "64", 4, {"normalisation": "instance"}),
    ("dynunet", 8, 4, "64", 4, {}),
    ("compact_unet", 8, 3, "48", 2, BF16),
    ("unet3d", 2, 3, "48", 2, BF16),
)
GPU_TABLE: Sequence[Config] = tuple(
    (*config, {"precision": precision})
    for precision in ("fp32", "fp16")
    for config in (
        ("compact_unet", 16, 4, "128", 2),
        ("compact_unet", 16, 5, "160", 4),
        ("compact_unet", 32, 5, "128", 8),
        ("compact_unet", 32, 5, "160", 2),
        ("compact_unet", 24, 5, "192x192x96", 3),
        ("unet3d", 32, 4, "128", 2),
        ("unet3d", 32, 4, "96", 8),
        ("unet3d", 16, 4, "128", 4),
        ("unet3d", 16, 4, "160", 2),
        ("unet3d", 32, 4, "128x128x64", 6),
        ("residual_unet", 32, 5, "128", 8),
        ("residual_unet", 32, 5, "160", 4),
        ("residual_unet", 32, 5, "192", 2),
        ("dynunet", 32, 5, "128", 4),
        ("dynunet", 32, 5, "160x160x96", 2),
    )
)
GPU_FIT: Sequence[Config] = tuple(
    (*config, {"precision": precision})
    for precision in ("fp32", "fp16")
    for config in (
        ("compact_unet", 16, 4, "96", 4),
        ("unet3d", 16, 4, "96", 2),
        ("unet3d", 32, 4, "96", 2),
        ("residual_unet", 16, 4, "128", 4),
        ("dynunet", 16, 4, "128", 2),
    )
)


def settings(config: Config) -> dict[str, Any]:
    """As a sweep file's `training` would say it."""
    network, width, levels, patch_size, batch_size, others = config
    return {
        "network": network,
        "width": width,
        "levels": levels,
        "patch_size": patch_size,
        "batch_size": batch_size,
        **others,
    }
