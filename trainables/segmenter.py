"""A trained model on a device: what it finds in an image that is preprocessed already."""

import numpy as np
from numpy.typing import NDArray

from trainables.device import choose_device
from trainables.inference import segment
from trainables.largest_component import keep_largest_component
from trainables.model_file import Model
from trainables.precision import precision_or_fp32


class Segmenter:
    """Segments volumes as the validation of the model's training did."""

    def __init__(self, model: Model, device: str | None = None) -> None:
        """`device` as in `choose_device`: by default the GPU where there is one. Raises SettingError."""
        self.model = model
        self._device = choose_device(device)
        self._precision = precision_or_fp32(model.precision, self._device)
        self._network = model.build(self._device)

    def __call__(self, image: NDArray[np.floating]) -> NDArray[np.uint8]:
        """The segmentation (X, Y, Z) of a preprocessed `image` (C, X, Y, Z), as the model's targets encode it."""
        model = self.model
        window, at_once = model.windows(image.shape[1:], self._device)
        (encoded,) = segment(
            self._network,
            [image],
            window=window,
            targets=model.targets,
            device=self._device,
            precision=self._precision,
            overlap=model.overlap,
            at_once=at_once,
        )
        return keep_largest_component(encoded, model.targets) if model.largest_component else encoded
