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
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from trainables.errors import DamagedVolumesError
from trainables.intensity_range import IntensityRange
from trainables.preprocessing import PreprocessingPlan
from trainables.resampling import Shape
from trainables.targets import Targets

FORMAT = 2
"""Counts up when what is written, or how it is computed, changes: an older folder is then not taken for a new one."""

_DATA = "volumes.bin"
_INDEX = "index.json"
_ALIGNMENT = 64
_DTYPES = ("<f2", "<f4", "|u1", "<i4")


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

    @cached_property
    def plan(self) -> PreprocessingPlan:
        return PreprocessingPlan.from_mapping(self._index["plan"])

    @cached_property
    def targets(self) -> Targets:
        return Targets.from_mapping(self._index["targets"])

    @cached_property
    def modalities(self) -> tuple[str, ...]:
        """The names of the channels."""
        return tuple(self._index["modalities"])

    @cached_property
    def intensities(self) -> tuple[IntensityRange, ...]:
        """Between which values the files' images lay, one a channel; none where that was not said."""
        return tuple(IntensityRange.from_mapping(channel) for channel in self._index["intensities"])

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
        return {name: tuple(case["label"]["shape"]) for name, case in self._cases.items()}

    def size_of(self, names: Iterable[str]) -> int:
        """Bytes of the images and labels of `names`."""
        entries = [self._cases[name][part] for name in names for part in ("image", "label")]
        return sum(prod(entry["shape"]) * np.dtype(entry["dtype"]).itemsize for entry in entries)

    def __getitem__(self, name: str) -> Volume:
        """The case `name`; raises KeyError where there is none."""
        case = self._cases[name]
        return Volume(
            self._array(case["image"]), self._array(case["label"]), tuple(self._array(f) for f in case["foreground"])
        )

    def check(self) -> None:
        """Raises DamagedVolumesError unless the folder holds a whole set of volumes in this version's format."""
        if self._index.get("format") != FORMAT:
            raise DamagedVolumesError(
                f"{self.folder}: volumes of format {self._index.get('format')!r}, {FORMAT} is needed"
            )
        size = (self.folder / _DATA).stat().st_size if (self.folder / _DATA).is_file() else 0
        if size != self._index["bytes"]:
            raise DamagedVolumesError(f"{self.folder / _DATA}: {size} bytes, its index says {self._index['bytes']}")

    @cached_property
    def _index(self) -> dict[str, Any]:
        path = self.folder / _INDEX
        try:
            index = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DamagedVolumesError(f"{path}: no index of preprocessed volumes ({error})") from error
        if not isinstance(index, dict):
            raise DamagedVolumesError(f"{path}: no index of preprocessed volumes")
        return index

    @cached_property
    def _cases(self) -> dict[str, dict[str, Any]]:
        self.check()
        return {case["name"]: case for case in self._index["cases"]}

    @cached_property
    def _bytes(self) -> np.ndarray:
        return np.memmap(self.folder / _DATA, mode="r")

    def _array(self, entry: Mapping[str, Any]) -> np.ndarray:
        if entry["dtype"] not in _DTYPES:
            raise DamagedVolumesError(f"{self.folder / _INDEX}: holds no array of type {entry['dtype']!r}")
        start, dtype, shape = entry["offset"], np.dtype(entry["dtype"]), entry["shape"]
        count = int(np.prod(shape)) * dtype.itemsize
        return self._bytes[start : start + count].view(dtype).reshape(shape)


class VolumeWriter:
    """Writes such a folder, case by case. Until `finish` returned it has no index, so no one takes it for whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cases: list[dict[str, Any]] = []
        self._file: BinaryIO = (folder / _DATA).open("wb")

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
        with (self._folder / _INDEX).open("w", encoding="utf-8") as file:
            json.dump(index, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())

    def _write(self, array: np.ndarray) -> dict[str, Any]:
        self._file.write(bytes(-self._file.tell() % _ALIGNMENT))
        offset = self._file.tell()
        self._file.write(np.ascontiguousarray(array).data)
        return {"offset": offset, "dtype": array.dtype.str, "shape": list(array.shape)}
