"""Random training patches, drawn in batches from volumes mapped or on the device, and changed on the device."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.augmentation import Augmentation
from trainables.resident import ResidentVolume, ResidentVolumes
from trainables.volumes import Volume, Volumes

Box = tuple[slice, ...]

_CASES, _PATCHES = 0, 1  # two streams of random numbers from one seed


class PatchSampler:
    """An endless stream of batches. A batch depends on the seed and its number only, so the number is all the state.

    Cases come in rounds, each in a new random order, so that all are seen equally often. A share of
    `foreground_fraction` of the patches is centred on a random voxel of one of the case's targets, each target being
    as likely; the others lie anywhere. A patch stays inside the volume along an axis where it fits; where the volume
    is smaller, it lies anywhere in the patch and is padded with 0, the mean of a normalised image, and background.
    """

    def __init__(
        self,
        volumes: Volumes | ResidentVolumes,
        names: Sequence[str],
        *,
        patch_size: tuple[int, int, int],
        batch_size: int,
        foreground_fraction: float,
        augmentation: Augmentation,
        seed: int,
        device: torch.device | str = "cpu",
        part: range | None = None,
    ) -> None:
        """`part`: which of a batch's patches it draws, where several samplers draw some each; by default all."""
        self._volumes = [volumes[name] for name in names]
        self._resident = isinstance(volumes, ResidentVolumes)
        self._channels = volumes.channels
        self._patch_size = patch_size
        self._batch_size = batch_size
        self._part = range(batch_size) if part is None else part
        self._foreground_fraction = foreground_fraction
        self._augmentation = augmentation
        self._seed = seed
        self._device = torch.device(device)
        self._drawn = 0
        self._round = -1
        self._order = np.empty(0, np.int64)

    def draw(self) -> tuple[Tensor, Tensor]:
        """The next batch, on the device: image (B, C, X, Y, Z) float32, label (B, X, Y, Z) uint8 (see Targets)."""
        part = (self._part.start,) if self._part.start else ()
        rng = np.random.default_rng((self._seed, _PATCHES, self._drawn, *part))
        where = self._device if self._resident else torch.device("cpu")
        pinned = self._device.type == "cuda" and not self._resident  # copied while the host goes on
        image = torch.zeros((len(self._part), self._channels, *self._patch_size), device=where, pin_memory=pinned)
        label = torch.zeros((len(self._part), *self._patch_size), dtype=torch.uint8, device=where, pin_memory=pinned)
        # Volumes on the host are arrays, and cut by numpy; on the device they are tensors, as the patches are.
        images: Any = image if self._resident else image.numpy()
        labels: Any = label if self._resident else label.numpy()
        for item, place in enumerate(self._part):
            volume: Any = self._volumes[self._case(self._drawn * self._batch_size + place)]
            inside, outside = _overlap(self._corner(volume, rng), self._patch_size, volume.label.shape)
            images[item, :, *inside] = volume.image[:, *outside]
            labels[item, *inside] = volume.label[outside]
        image, label = (t.to(self._device, non_blocking=True) for t in (image, label))
        self._drawn += 1
        return self._augmentation(image, label, rng)

    def state_dict(self) -> dict[str, Any]:
        return {"drawn": self._drawn}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._drawn = state["drawn"]

    def _case(self, position: int) -> int:
        """Which case the patch at `position` of the stream is cut from."""
        round_, place = divmod(position, len(self._volumes))
        if round_ != self._round:
            rng = np.random.default_rng((self._seed, _CASES, round_))
            self._round, self._order = round_, rng.permutation(len(self._volumes))
        return int(self._order[place])

    def _corner(self, volume: Volume | ResidentVolume, rng: np.random.Generator) -> list[int]:
        """The patch's first voxel, in voxels of the volume; negative where the patch begins before it."""
        room = [whole - part for whole, part in zip(volume.label.shape, self._patch_size, strict=True)]
        present = [voxels for voxels in volume.foreground if len(voxels)]
        if present and rng.random() < self._foreground_fraction:
            voxels = present[rng.integers(len(present))]
            centre = voxels[rng.integers(len(voxels))]
            wanted = [int(c) - part // 2 for c, part in zip(centre, self._patch_size, strict=True)]
            return [min(max(w, min(0, r)), max(0, r)) for w, r in zip(wanted, room, strict=True)]
        return [int(rng.integers(min(0, r), max(0, r) + 1)) for r in room]


def _overlap(corner: Sequence[int], patch_size: Sequence[int], shape: Sequence[int]) -> tuple[Box, Box]:
    """Where patch and volume meet, as slices of the patch and of the volume."""
    first = [max(0, c) for c in corner]
    last = [min(c + part, whole) for c, part, whole in zip(corner, patch_size, shape, strict=True)]
    inside = tuple(slice(a - c, b - c) for a, b, c in zip(first, last, corner, strict=True))
    outside = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    return inside, outside
