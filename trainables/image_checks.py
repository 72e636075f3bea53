"""What an image must be for a model to label it, and what about it makes the label doubtful."""

from collections.abc import Sequence
from math import prod

import numpy as np

from trainables.dataset import ImageFiles
from trainables.grid import Grid
from trainables.image_rules import check_fit
from trainables.intensity_range import odd_channels
from trainables.model_file import Model

MANY_TIMES = 64
"""Voxels, of each that a file has, past which resampling to the model's spacing is told: images of 4 mm for a model of
1 mm just do not. Sizes in microns do, or such as were never filled in; and those in metres make as many fewer."""


def check_image(files: ImageFiles, image: np.ndarray, models: Sequence[Model]) -> list[str]:
    """Sentences for the user on what is odd about `image` (C, X, Y, Z), read from `files`, for `models` of one kind.

    Raises DatasetError as `check_fit` does.
    """
    names = models[0].modalities
    notes = check_fit(files.files, image, names)
    if knowing := next((model for model in models if model.intensities), None):
        notes += odd_channels(image, knowing.intensities, knowing.plan.normalisation, names)
    return notes


def check_size(volume: np.ndarray, grid: Grid) -> list[str]:
    """A sentence for the user where the prepared `volume` (C, X, Y, Z) has so many or so few voxels that the file's
    spacing is odd."""
    times = prod(volume.shape[1:]) / prod(grid.cropped_shape)
    if 1 / MANY_TIMES <= times <= MANY_TIMES:
        return []
    much = f"{times:,.0f} times as many" if times > 1 else f"one for {1 / times:,.0f} of the file's"
    sizes, wanted = (" x ".join(f"{mm:.3g}" for mm in spacing) for spacing in (grid.spacing, grid.target_spacing))
    return [f"has voxels of {sizes} mm, and the model wants {wanted} mm: {much}; is its header right?"]
