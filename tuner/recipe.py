"""What `voxtune new` proposes to train and to search: a recipe for a CPU and one for GPUs.

The settings that a recipe does not name keep the defaults of SegmentationConfig, which are made for CPUs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What does not follow from the data set."""

    network: str
    most_width: int
    """The largest width that is trained: memory is planned for it."""

    levels: int
    """At most; small volumes have room for fewer."""

    space: Mapping[str, Any]
    """What is searched besides batch_size and patch_size, in the YAML form."""

    default: Mapping[str, Any]
    """The first trial's values of that."""

    training: Mapping[str, Any]
    """Other settings in which it differs from the defaults."""


CPU = Recipe(
    network="compact_unet",
    most_width=8,
    levels=4,
    space={"learning_rate": {"float": [2e-3, 2e-2], "log": True}, "tilt": {"float": [0, 30]}},
    default={"learning_rate": 6e-3, "tilt": 15},
    training={"width": 8},
)

GPU = Recipe(
    network="dynunet",
    most_width=32,
    levels=5,
    space={"learning_rate": {"float": [1e-4, 1e-2], "log": True}},
    default={"learning_rate": 1e-3},
    training={"width": 32, "normalisation": "instance", "beta2": 0.999, "weight_averaging": 0.999},
)
