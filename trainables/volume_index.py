"""What lies where in a folder of preprocessed volumes: `index.json`, checked before any of it is believed.

Other people may write to a shared cache too, and a disk may fail: nothing of the index is used that breaks a rule.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Self

import numpy as np

from trainables.errors import DamagedVolumesError
from trainables.intensity_range import IntensityRange
from trainables.preprocessing import PreprocessingPlan
from trainables.targets import Targets

FORMAT = 2
"""Counts up when what is written, or how it is computed, changes: an older folder is then not taken for a new one."""

DATA = "volumes.bin"
INDEX = "index.json"

_IMAGE, _LABEL, _FOREGROUND = ("<f2", "<f4"), ("|u1",), ("<i4",)


@dataclass(frozen=True)
class ArrayPlace:
    """Where an array lies in the data file."""

    offset: int
    """Bytes from its beginning."""

    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    @classmethod
    def from_mapping(cls, mapping: Any, *, dtypes: tuple[str, ...], dimensions: int, end: int) -> Self:
        """Raises ValueError for anything else than an array of such numbers that ends before the byte `end`."""
        match mapping:
            case {"offset": int(offset), "dtype": str(dtype), "shape": [*shape]} if len(shape) == dimensions and all(
                type(n) is int and n >= 0 for n in shape
            ):
                if dtype not in dtypes:
                    raise ValueError(f"holds no array of type {dtype!r}")
                place = cls(offset, np.dtype(dtype), tuple(shape))
                if 0 <= offset <= offset + place.bytes <= end:
                    return place
        raise ValueError(f"no place of an array: {mapping!r:.100}")


@dataclass(frozen=True)
class CasePlaces:
    """Where a case lies."""

    image: ArrayPlace
    label: ArrayPlace
    foreground: tuple[ArrayPlace, ...]


@dataclass(frozen=True, kw_only=True)
class VolumeIndex:
    """All of `index.json`."""

    bytes: int
    """The size of the data file."""

    plan: PreprocessingPlan
    targets: Targets
    modalities: tuple[str, ...]
    intensities: tuple[IntensityRange, ...]
    cases: Mapping[str, CasePlaces]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises DamagedVolumesError unless there is one in this version's format that keeps all rules."""
        path = folder / INDEX
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(content, dict) and content.get("format") != FORMAT:
                raise DamagedVolumesError(f"{folder}: volumes of format {content.get('format')!r}, {FORMAT} is needed")
            return cls._from_mapping(content)
        except DamagedVolumesError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            told = f"{type(error).__name__}: {error}" if isinstance(error, KeyError | TypeError) else str(error)
            raise DamagedVolumesError(f"{path}: no index of preprocessed volumes ({told})") from error

    @classmethod
    def _from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """What `VolumeWriter.finish` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        plan = PreprocessingPlan.from_mapping(mapping["plan"])
        targets = Targets.from_mapping(mapping["targets"])
        modalities = tuple(mapping["modalities"])
        if len(modalities) != plan.channels or not all(isinstance(name, str) for name in modalities):
            raise ValueError(f"modalities: names of {plan.channels} channels are needed, received {modalities!r:.100}")
        end = mapping["bytes"]
        if type(end) is not int:
            raise ValueError(f"bytes: a whole number is needed, received {end!r:.100}")
        cases = {}
        for case in mapping["cases"]:
            if not isinstance(case["name"], str):
                raise ValueError(f"a case's name is needed, received {case['name']!r:.100}")
            places = CasePlaces(
                ArrayPlace.from_mapping(case["image"], dtypes=_IMAGE, dimensions=4, end=end),
                ArrayPlace.from_mapping(case["label"], dtypes=_LABEL, dimensions=3, end=end),
                tuple(
                    ArrayPlace.from_mapping(sample, dtypes=_FOREGROUND, dimensions=2, end=end)
                    for sample in case["foreground"]
                ),
            )
            if (
                places.image.shape != (plan.channels, *places.label.shape)
                or len(places.foreground) != len(targets.names)
                or any(sample.shape[1] != 3 for sample in places.foreground)
            ):
                raise ValueError(f"{case['name']!r:.100}: the shapes of its arrays do not fit one another")
            cases[case["name"]] = places
        return cls(
            bytes=end,
            plan=plan,
            targets=targets,
            modalities=modalities,
            intensities=tuple(IntensityRange.from_mapping(channel) for channel in mapping["intensities"]),
            cases=cases,
        )
