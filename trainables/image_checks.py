"""What an image must be for a model to label it, and what about it makes the label doubtful."""

from collections.abc import Sequence

import numpy as np

from trainables.dataset import ImageFiles
from trainables.image_rules import check_fit
from trainables.intensity_range import odd_channels
from trainables.model_file import Model


def check_image(files: ImageFiles, image: np.ndarray, models: Sequence[Model]) -> list[str]:
    """Sentences for the user on what is odd about `image` (C, X, Y, Z), read from `files`, for `models` of one kind.

    Raises DatasetError as `check_fit` does.
    """
    names = models[0].modalities
    notes = check_fit(files.files, image, names)
    if knowing := next((model for model in models if model.intensities), None):
        notes += odd_channels(image, knowing.intensities, knowing.plan.normalisation, names)
    return notes
