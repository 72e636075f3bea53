"""One model, or an ensemble of several, on a device and ready to label images."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np
import torch
from torch import Tensor, nn

from trainables.augmentation import AXES, check_flips
from trainables.device import choose_device
from trainables.grid import Grid
from trainables.half_precision import compact
from trainables.inference import probabilities
from trainables.merging import Part, merge
from trainables.model_file import Model
from trainables.precision import Precision, precision_or_fp32
from trainables.preprocessing import PreprocessingPlan, preprocess_image

Prepared = dict[PreprocessingPlan, tuple[np.ndarray, Grid]]
"""An image as each preprocessing plan makes it, (C, X, Y, Z) float16 or float32, and the grid that it lies on."""


@dataclass(frozen=True, kw_only=True)
class _Member:
    model: Model
    network: nn.Module
    precision: Precision


def doubtful_flips(models: Sequence[Model], flips: str) -> list[str]:
    """Sentences for the user on why mirrored images may make labels of `models` worse."""
    notes = []
    untrained = [axis for axis in flips if any(axis not in str(model.training.get("flips", "")) for model in models)]
    if untrained:
        notes.append(f"flips: {', '.join(untrained)}: training mirrored nothing along there, so Dice may fall")
    words = {word for name in models[0].targets.names for word in re.split(r"[^a-z]+", name.lower())}
    if "x" in flips and {"left", "right"} <= words:
        notes.append("flips: x swaps left and right, which are classes of their own here")
    return notes


class Predictor:
    """Models on a device. What they find is averaged: the mean of their probabilities, each counting the same.

    Preparing an image takes no device, and may be done in a thread while another image is segmented.
    """

    def __init__(self, models: Sequence[Model], *, device: str | None = None, flips: str = "") -> None:
        """`models` as `load_models` gives them: of the same targets and channels.

        `device` as in `choose_device`: by default the GPU where there is one. `flips`: axes along which images are
        mirrored, letters out of xyz; each image is then also segmented in all its mirrored forms (2, 4 or 8 with the
        image as it is), and their probabilities, mirrored back, are averaged. Raises SettingError.
        """
        check_flips(flips)
        self.models = tuple(models)
        self.targets = self.models[0].targets
        self.modalities = self.models[0].modalities
        self._device = choose_device(device)
        axes = sorted(AXES.index(letter) for letter in flips)
        self._mirrored = list(chain.from_iterable(combinations(axes, count) for count in range(len(axes) + 1)))
        self._members = [
            _Member(
                model=model,
                network=model.build(self._device),
                precision=precision_or_fp32(model.precision, self._device),
            )
            for model in self.models
        ]

    def prepare(self, image: np.ndarray, affine: np.ndarray) -> Prepared:
        """`image` (C, X, Y, Z) with `affine` (4, 4), as its file has it, ready for the networks: once for each plan."""
        prepared = {}
        for plan in dict.fromkeys(model.plan for model in self.models):
            volume, grid = preprocess_image(image, affine, plan)
            prepared[plan] = compact(volume), grid  # as training and validation see their volumes
        return prepared

    @torch.inference_mode()
    def segment(self, prepared: Prepared) -> np.ndarray:
        """The label (X, Y, Z) of a prepared image, in its file's grid and with the values of the training data's files.

        Only the largest piece of each target stays where all members were validated so.
        """
        parts = []
        for plan, (volume, grid) in prepared.items():
            members = [member for member in self._members if member.model.plan == plan]
            share = len(members) / len(self._members)
            parts.append(Part(probabilities=self._mean(members, volume).mul_(share), grid=grid, share=share))
        largest = all(model.largest_component for model in self.models)
        return self.targets.decode(merge(parts, self.targets, largest_component=largest))

    def label(self, image: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """`segment` of what `prepare` makes of `image`."""
        return self.segment(self.prepare(image, affine))

    def _mean(self, members: Sequence[_Member], volume: np.ndarray) -> Tensor:
        """The mean probabilities (K, X, Y, Z) over `members` and mirrored forms; two such arrays at once at most."""
        total: Tensor | None = None
        for member in members:
            for axes in self._mirrored:
                spatial = tuple(axis + 1 for axis in axes)
                found = self._probabilities(member, np.flip(volume, spatial)).flip(spatial)
                total = found if total is None else total.add_(found.to(total.device))
        assert total is not None
        return total.div_(len(members) * len(self._mirrored))

    def _probabilities(self, member: _Member, volume: np.ndarray) -> Tensor:
        model = member.model
        window, at_once = model.windows(volume.shape[1:], self._device)
        return probabilities(
            member.network,
            volume,
            window=window,
            targets=self.targets,
            device=self._device,
            precision=member.precision,
            overlap=model.overlap,
            at_once=at_once,
        )
