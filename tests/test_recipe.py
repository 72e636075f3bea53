"""What a preset makes of a recipe, without a data set."""

from typing import Any

import pytest

from search_spaces.presets import load_preset
from search_spaces.space import parse_space
from tuner.errors import SweepConfigError
from tuner.recipe import CPU, GPU, Recipe

BRAIN: Any = {"median_shape": (138, 170, 138), "spacing": (1.0, 1.0, 1.0)}
HEART: Any = {"median_shape": (320, 320, 115), "spacing": (1.25, 1.25, 1.37)}


def test_what_a_preset_fixes_is_not_searched() -> None:
    recipe = GPU.with_preset("brain_tumour_distmis", load_preset("brain_tumour_distmis"), **BRAIN)
    assert list(recipe.space) == ["learning_rate", "normalisation", "beta2", "amsgrad"]
    # The recipe's, where the preset has the value; the setting's default where the recipe says nothing.
    assert recipe.default == {"learning_rate": 1e-3, "normalisation": "instance", "beta2": 0.999, "amsgrad": False}
    assert (recipe.patches, recipe.batches, recipe.batch_size) == (((128, 160, 128),), (2,), 2)
    assert (recipe.training["width"], recipe.training["weight_averaging"]) == (8, 0.0)
    assert recipe.most_width == 8
    assert not recipe.training.keys() & {"patch_size", "batch_size", *recipe.space}


def test_values_that_the_recipe_lacks() -> None:
    recipe = CPU.with_preset("heart", load_preset("heart"), **HEART)
    assert recipe.default == {"learning_rate": 6e-3, "network": "unet3d", "width": 16, "dropout": 0.0}
    assert recipe.patches == ((160, 160, 112), (128, 128, 96), (96, 96, 96), (64, 64, 64))
    assert recipe.most_width == 32
    assert recipe.preset == "heart"


def test_numbers_begin_at_the_nearest_bound() -> None:
    space = parse_space({"learning_rate": {"float": [1e-4, 1e-3]}, "width": {"int": [16, 32]}, "batch_size": 4})
    recipe = CPU.with_preset("mine", space, **BRAIN)
    assert recipe.default == {"learning_rate": 1e-3, "width": 16}
    assert (recipe.patches, recipe.batches, recipe.batch_size) == ((), (4,), 4)
    assert recipe.training == {"network": "compact_unet"}


@pytest.mark.parametrize("recipe", [CPU, GPU])
def test_patches_that_the_network_does_not_take(recipe: Recipe) -> None:
    space = parse_space({"learning_rate": {"float": [1e-4, 1e-3]}, "patch_size": "48x64x36", "levels": 5})
    with pytest.raises(
        SweepConfigError, match=r"^preset mine: patch_size: .*36.* multiple of 16.*; choose another preset"
    ):
        recipe.with_preset("mine", space, **BRAIN)


def test_the_only_patch_size_of_a_preset_is_cut_to_smaller_volumes() -> None:
    small: Any = {"median_shape": (57, 74, 130), "spacing": (1.0, 1.0, 1.0)}
    recipe = CPU.with_preset("brain_tumour_distmis", load_preset("brain_tumour_distmis"), **small)
    assert recipe.patches == ((64, 80, 128),)  # multiples of 8, for its four levels


def test_an_axis_of_padding_is_seen() -> None:
    space = parse_space({"learning_rate": {"float": [1e-4, 1e-3]}, "patch_size": {"choice": ["64x64x64", 32]}})
    flat: Any = {"median_shape": (512, 512, 20), "spacing": (1.0, 1.0, 1.0)}
    with pytest.raises(SweepConfigError, match="patch_size 64x64x64 would be mostly padding"):
        CPU.with_preset("mine", space, **flat)
