"""What `voxtune new` proposes to train and to search: a recipe for CPUs, one for GPUs, and what a preset makes of them.

The settings that a recipe does not name keep the defaults of SegmentationConfig, which are made for CPUs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import ceil, prod
from typing import Any

from search_spaces.errors import SpaceError
from search_spaces.parameters import Choice, Fixed
from search_spaces.space import SearchSpace
from trainables.errors import SettingError
from trainables.levels import Stride, check_patch, level_strides, patch_divisors
from trainables.segmentation_config import SegmentationConfig, parse_patch_size, patch_text
from tuner.errors import SweepConfigError
from tuner.patch_plan import PADDING, PatchSize

SIZES = ("batch_size", "patch_size")
"""Settings that follow from data set and machine unless a preset gives them."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What does not follow from the data set."""

    most_width: int
    """The largest width that is trained: memory is planned for it."""

    levels: int
    """At most; small volumes have room for fewer."""

    space: Mapping[str, Any]
    """What is searched besides SIZES, in the YAML form."""

    default: Mapping[str, Any]
    """The first trial's values of that."""

    training: Mapping[str, Any]
    """Other settings in which it differs from the defaults."""

    patches: tuple[PatchSize, ...] = ()
    """The patch sizes to search, largest first; none: they are planned."""

    batches: tuple[int, ...] = ()
    """The batch sizes to search, ascending; none: they are planned."""

    batch_size: int = 2
    """Of the first trial; 2 is nnU-Net's least for 3D patches."""

    preset: str = ""
    """The name of the preset that the space comes from."""

    def with_preset(
        self, name: str, space: SearchSpace, *, median_shape: Sequence[int], spacing: tuple[float, float, float]
    ) -> "Recipe":
        """The recipe that searches `space`, of the preset `name`. What that does not say stays as it is.

        Args:
            median_shape: voxels of the data set's median volume, once it is preprocessed to `spacing` (mm).

        Where a preset searches no patch size, its only one is cut to smaller volumes.

        Raises SweepConfigError where a patch size of the preset does not fit the data set.
        """
        patches = sorted(map(parse_patch_size, _values(space, "patch_size")), key=prod, reverse=True)
        if len(patches) == 1 and isinstance(space.get("levels"), Fixed):
            patches = [_cut_to(median_shape, patches[0], level_strides(space.fixed["levels"], spacing))]
        _check_patches(name, space, patches, median_shape, spacing)
        batches = tuple(sorted(_values(space, "batch_size")))
        usual = {**SegmentationConfig().to_mapping(), **self.training, **self.default}
        searched = {key: parameter for key, parameter in space.searched.items() if key not in SIZES}
        fixed = {key: value for key, value in space.fixed.items() if key not in SIZES}
        return replace(
            self,
            most_width=max(_values(space, "width"), default=self.most_width),
            space={key: parameter.to_yaml() for key, parameter in searched.items()},
            default={key: _first_value(space, key, usual[key]) for key in searched},
            training={**{key: value for key, value in self.training.items() if key not in space}, **fixed},
            patches=tuple(patches),
            batches=batches,
            batch_size=self.batch_size if not batches or self.batch_size in batches else batches[0],
            preset=name,
        )


def _values(space: SearchSpace, name: str) -> list[Any]:
    """The choices, the bounds or the fixed value of a parameter; nothing where there is none."""
    return [space.fixed[name]] if name in space.fixed else space.extremes().get(name, [])


def _cut_to(shape: Sequence[int], patch: PatchSize, strides: Sequence[Stride]) -> PatchSize:
    """The part of `patch` that is not beyond volumes of `shape`, as the network takes it."""
    x, y, z = (
        min(side, ceil(whole / divisor) * divisor)
        for side, whole, divisor in zip(patch, shape, patch_divisors(strides), strict=True)
    )
    return x, y, z


def _first_value(space: SearchSpace, name: str, usual: Any) -> Any:
    """The usual value where the parameter has it, else its first choice or the bound next to the usual value."""
    try:
        space[name].validate(name, usual)
        return usual
    except SpaceError:
        first, *_, last = _values(space, name)
        return last if not isinstance(space[name], Choice) and usual > last else first


def _check_patches(
    name: str,
    space: SearchSpace,
    patches: Sequence[PatchSize],
    median_shape: Sequence[int],
    spacing: tuple[float, float, float],
) -> None:
    for patch, levels in product(patches, _values(space, "levels")):
        try:
            check_patch(patch, level_strides(levels, spacing))
        except SettingError as error:
            raise SweepConfigError(f"preset {name}: {error}; choose another preset, or none") from None
    padded = [patch_text(patch) for patch in patches if prod(patch) > PADDING * prod(map(min, patch, median_shape))]
    if padded:
        raise SweepConfigError(
            f"preset {name}: patch_size {', '.join(padded)} would be mostly padding: the median volume of this data "
            f"set has {patch_text(median_shape)} voxels of {' x '.join(f'{mm:.3g}' for mm in spacing)} mm; choose "
            "another preset, or none, and the patch sizes follow from the data"
        )


CPU = Recipe(
    most_width=8,
    levels=4,
    space={"learning_rate": {"float": [2e-3, 2e-2], "log": True}, "tilt": {"float": [0, 30]}},
    default={"learning_rate": 6e-3, "tilt": 15},
    training={"network": "compact_unet", "width": 8},
)

GPU = Recipe(
    most_width=32,
    levels=5,
    space={"learning_rate": {"float": [1e-4, 1e-2], "log": True}},
    default={"learning_rate": 1e-3},
    training={
        "network": "dynunet",
        "width": 32,
        "normalisation": "instance",
        "beta2": 0.999,
        "weight_averaging": 0.999,
    },
)
