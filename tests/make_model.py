"""Makes models that have learned nothing, for tests of what is done with a model."""

from collections.abc import Sequence
from typing import Any

import torch

from trainables.model_file import Model
from trainables.networks import NetworkConfig, build_network
from trainables.normalisation import ChannelNormalisation
from trainables.preprocessing import PreprocessingPlan
from trainables.targets import Targets

CLASSES = Targets(names=("class1", "class2"), members=((1,), (2,)), regions=False)


def make_model(
    seed: int = 0,
    *,
    channels: int = 1,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    targets: Targets = CLASSES,
    normalisation: ChannelNormalisation | None = None,
    **changes: Any,
) -> Model:
    """For data sets as `make_data.write_dataset` writes them; `changes` are other fields of Model."""
    network = NetworkConfig(
        architecture="unet3d",
        in_channels=channels,
        out_channels=targets.channels,
        width=4,
        levels=2,
        strides=((2, 2, 2),),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        weights = build_network(network).state_dict()
    x, y, z = spacing
    parts: dict[str, Any] = {
        "network": network,
        "weights": weights,
        "plan": PreprocessingPlan(
            spacing=(x, y, z), normalisation=(normalisation or ChannelNormalisation(kind="zscore"),) * channels
        ),
        "targets": targets,
        "modalities": ("MRI",) if channels == 1 else tuple(f"MRI{channel}" for channel in range(channels)),
        "patch_size": (16, 16, 16),
        "training": {},
    }
    return Model(**parts | changes)
