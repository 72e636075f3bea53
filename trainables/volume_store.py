"""The folder that preprocessed volumes lie in: how it is written once, and read by many processes at the same time.

    volumes.bin   images, labels and foreground samples of all cases, one after the other, each from a multiple of 64 on
    index.json    what lies where, and the plan and targets that it was made by

One data file, not one a case: a process that maps hundreds of files runs out of file handles (1024 on many systems).
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

import numpy as np

from trainables.errors import DamagedVolumesError
from trainables.intensity_range import IntensityRange
from trainables.preprocessing import PreprocessingPlan
from trainables.resampling import Shape
from trainables.targets import Targets
from trainables.volume_index import DATA, FORMAT, INDEX, ArrayPlace, CasePlaces, VolumeIndex

_ALIGNMENT = 64

FOREGROUND_SAMPLE = 4096
"""Voxels kept of each target and case, to centre patches on: 12 bytes each, more than patches drawn of a case."""


@dataclass(frozen=True)
class Volume:
    """One preprocessed case, as read-only memory maps: the processes of a machine share its pages."""

    image: np.ndarray
    """(C, X, Y, Z) float16, or float32 where float16 would lose something (`trainables.half_precision`)."""

    label: np.ndarray
    """(X, Y, Z) uint8, encoded by the Targets: a class's index, or a bit mask of regions."""

    foreground: tuple[np.ndarray, ...]
    """For each target an int32 (N, 3) sample of its voxels, N = 0 where the case has none of it."""


class Volumes:
    """The preprocessed cases of a data set, by name. Pickles as its folder's path; opens the files when first asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return Volumes, (self.folder,)

    @property
    def plan(self) -> PreprocessingPlan:
        return self._index.plan

    @property
    def targets(self) -> Targets:
        return self._index.targets

    @property
    def modalities(self) -> tuple[str, ...]:
        """The names of the channels."""
        return self._index.modalities

    @property
    def intensities(self) -> tuple[IntensityRange, ...]:
        """Between which values the files' images lay, one a channel; none where that was not said."""
        return self._index.intensities

    @property
    def channels(self) -> int:
        """Channels of each image."""
        return self.plan.channels

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(self._cases)

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Voxels of each case along the RAS axes."""
        return {name: cast(Shape, places.label.shape) for name, places in self._cases.items()}

    def size_of(self, names: Iterable[str]) -> int:
        """Bytes of the images and labels of `names`."""
        return sum(self._cases[name].image.bytes + self._cases[name].label.bytes for name in names)

    def __getitem__(self, name: str) -> Volume:
        """The case `name`; raises KeyError where there is none."""
        places = self._cases[name]
        return Volume(
            self._array(places.image), self._array(places.label), tuple(self._array(f) for f in places.foreground)
        )

    def check(self) -> None:
        """Raises DamagedVolumesError unless the folder holds a whole set of volumes in this version's format."""
        data = self.folder / DATA
        size = data.stat().st_size if data.is_file() else 0
        if size != self._index.bytes:
            raise DamagedVolumesError(f"{data}: {size} bytes, its index says {self._index.bytes}")

    @cached_property
    def _index(self) -> VolumeIndex:
        return VolumeIndex.read(self.folder)

    @cached_property
    def _cases(self) -> Mapping[str, CasePlaces]:
        self.check()
        return self._index.cases

    @cached_property
    def _bytes(self) -> np.ndarray:
        return np.memmap(self.folder / DATA, mode="r")

    def _array(self, place: ArrayPlace) -> np.ndarray:
        return self._bytes[place.offset : place.offset + place.bytes].view(place.dtype).reshape(place.shape)


class VolumeWriter:
    """Writes such a folder, case by case. Until `finish` returned it has no index, so no one takes it for whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cases: list[dict[str, Any]] = []
        self._file: BinaryIO = (folder / DATA).open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, name: str, volume: Volume) -> None:
        image, label = self._write(volume.image), self._write(volume.label)
        foreground = [self._write(sample) for sample in volume.foreground]
        self._cases.append({"name": name, "image": image, "label": label, "foreground": foreground})

    def finish(
        self,
        *,
        plan: PreprocessingPlan,
        targets: Targets,
        modalities: Sequence[str],
        intensities: Sequence[IntensityRange] = (),
    ) -> None:
        """Bring everything to the disk, the index last."""
        self._file.flush()
        os.fsync(self._file.fileno())
        index = {
            "format": FORMAT,
            "bytes": self._file.tell(),
            "plan": plan.to_mapping(),
            "targets": targets.to_mapping(),
            "modalities": list(modalities),
            "intensities": [channel.to_mapping() for channel in intensities],
            "cases": self._cases,
        }
        with (self._folder / INDEX).open("w", encoding="utf-8") as file:
            json.dump(index, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())

    def _write(self, array: np.ndarray) -> dict[str, Any]:
        self._file.write(bytes(-self._file.tell() % _ALIGNMENT))
        offset = self._file.tell()
        self._file.write(np.ascontiguousarray(array).data)
        return {"offset": offset, "dtype": array.dtype.str, "shape": list(array.shape)}
