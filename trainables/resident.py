"""Keeps volumes on a GPU for all runs of a process, where they fit there beside a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainables.volumes import Volumes

_GIB = 2**30


@dataclass(frozen=True)
class ResidentVolume:
    """A `Volume` of which image and label lie on a device, in the formats that they have on the disk."""

    image: Tensor
    label: Tensor
    foreground: tuple[np.ndarray, ...]
    """On the host, where places are drawn."""


class ResidentVolumes:
    """The preprocessed cases by name, each brought to a device when it is first asked for, and kept there."""

    def __init__(self, volumes: Volumes, device: torch.device) -> None:
        self.channels = volumes.channels
        self._volumes = volumes
        self._device = device
        self._kept: dict[str, ResidentVolume] = {}

    def __getitem__(self, name: str) -> ResidentVolume:
        if name not in self._kept:
            volume = self._volumes[name]
            image, label = (torch.from_numpy(np.array(a)).to(self._device) for a in (volume.image, volume.label))
            self._kept[name] = ResidentVolume(image, label, volume.foreground)
        return self._kept[name]


_shared: dict[tuple[Path, torch.device], ResidentVolumes] = {}  # one entry at most


def resident_volumes(
    volumes: Volumes, names: Sequence[str], device: torch.device, *, run_gib: float, room_gib: float
) -> ResidentVolumes | None:
    """`volumes` for a device on which there is room for the cases `names` beside a run that takes `run_gib`, else None.

    They are the same for all runs of a process, so that a trial finds there what an earlier one brought; volumes of
    another folder, and those that a larger trial leaves no room for, are let go.
    """
    key = volumes.folder, device
    if volumes.size_of(names) / _GIB + run_gib > room_gib:
        _shared.clear()
        return None
    if key not in _shared:
        _shared.clear()
        _shared[key] = ResidentVolumes(volumes, device)
    return _shared[key]


def room_gib(device: torch.device, limit_gib: float | None) -> float:
    """GiB of a GPU that this process may have: what is free or its own already, and no more than `limit_gib`."""
    free, _ = torch.cuda.mem_get_info(device)
    room = (free + torch.cuda.memory_reserved(device)) / _GIB
    return room if limit_gib is None else min(room, limit_gib)
