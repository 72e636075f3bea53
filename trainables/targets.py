"""What the network learns from the labels: which label values make a class or a region, and the way there and back.

Exclusive classes (the default) are stored as the class index 0 .. n, 0 the background, and learned with a softmax.
Regions may overlap, as the whole tumour holds the tumour core; they are stored as a bit mask, bit i for region i, and
learned with a sigmoid each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from trainables.dataset import LARGEST_LABEL
from trainables.errors import SettingError

LARGEST_CLASS = 255
REGION_BITS = 8


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The classes or regions that are learned and scored. Raises SettingError where they make no sense."""

    names: tuple[str, ...]
    """One name a class or region, the background left out."""

    members: tuple[tuple[int, ...], ...]
    """The label values that make each; values that occur nowhere are background."""

    regions: bool
    """True: they may overlap. False: every label value is in one at most."""

    def __post_init__(self) -> None:
        if not self.names or len(self.names) != len(self.members):
            raise SettingError(f"labels: {len(self.names)} names for {len(self.members)} groups of label values")
        most, kind = (REGION_BITS, "regions") if self.regions else (LARGEST_CLASS, "classes")
        if len(self.names) > most:
            raise SettingError(f"labels: {len(self.names)} {kind}; at most {most} can be stored in a byte")
        if len(set(self.names)) < len(self.names) or not all(self.names):
            raise SettingError(f"labels: names must differ and not be empty, got {', '.join(map(repr, self.names))}")
        users: dict[int, str] = {}
        for name, values in zip(self.names, self.members, strict=True):
            if not values:
                raise SettingError(f"labels: {name} has no label value")
            for value in values:
                if not 1 <= value <= LARGEST_LABEL:
                    raise SettingError(f"labels: {name} has {value}; label values are 1 to {LARGEST_LABEL}")
                if users.get(value) == name:
                    raise SettingError(f"labels: {name} has label {value} twice")
                if not self.regions and value in users:
                    raise SettingError(
                        f"labels: label {value} is in {users[value]} and in {name}; only regions may share a label"
                    )
                users[value] = name
        if self.regions and len({frozenset(values) for values in self.members}) < len(self.members):
            raise SettingError("labels: two regions are made of the same labels")

    @property
    def channels(self) -> int:
        """Output channels of the network: one a region, or one a class and one for the background."""
        return len(self.names) if self.regions else len(self.names) + 1

    def encode(self, label: np.ndarray) -> np.ndarray:
        """Label values, integers of any shape, to uint8 of the same shape: class indices, or bit masks of regions."""
        return _look_up(self._codes, label)

    def decode(self, encoded: np.ndarray) -> np.ndarray:
        """The way back, to uint8 (uint16 where a value is past 255) of the same shape.

        A merged class becomes its first label value. A set of regions becomes the first label value that lies in just
        these regions; a set that no label value has (a network may say so) is written region by region in their order,
        each with its first value that no later region has, so that later regions win.
        """
        return _look_up(self._values, encoded)

    def mask(self, encoded: np.ndarray, index: int) -> np.ndarray:
        """Where `encoded` (uint8, of any shape) has the class or region `names[index]`: bool of the same shape."""
        return encoded & np.uint8(1 << index) != 0 if self.regions else encoded == index + 1

    @cached_property
    def _codes(self) -> np.ndarray:
        """Code of each label value, (65536,) uint8."""
        codes = np.zeros(LARGEST_LABEL + 1, np.uint8)
        for index, values in enumerate(self.members):
            codes[list(values)] |= np.uint8(1 << index if self.regions else index + 1)
        return codes

    @cached_property
    def _values(self) -> np.ndarray:
        """Label value of each code, (256,)."""
        values = np.zeros(256, np.uint16)
        if self.regions:
            for index in range(len(self.members)):  # codes whose highest bit is `index`
                values[1 << index : 2 << index] = self._own_value(index)
        for value in reversed([value for group in self.members for value in group]):
            values[self._codes[value]] = value  # in reverse: the first of several values of one code stays
        return values.astype(np.uint8) if values.max() < 256 else values

    def _own_value(self, index: int) -> int:
        later = {value for group in self.members[index + 1 :] for value in group}
        values = self.members[index]
        return next((value for value in values if value not in later), values[0])

    def to_mapping(self) -> dict[str, Any]:
        """Plain types, for JSON or YAML: `{"names": [...], "members": [[...], ...], "regions": False}`."""
        return {
            "names": list(self.names),
            "members": [list(values) for values in self.members],
            "regions": self.regions,
        }

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "Targets":
        """What `to_mapping` gave. Raises SettingError if a key is missing or of another type."""
        match mapping:
            case {"names": [*names], "members": [*members], "regions": bool(regions)} if (
                len(mapping) == 3
                and all(isinstance(name, str) for name in names)
                and all(isinstance(group, list | tuple) and all(type(v) is int for v in group) for group in members)
            ):
                return cls(names=tuple(names), members=tuple(tuple(group) for group in members), regions=regions)
        raise SettingError(f"labels: need names, members and regions, got {dict(mapping)!r:.200}")


def _look_up(table: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """`table[indices]`, plane by plane: numpy copies an index array to eight bytes a voxel."""
    if indices.ndim < 2:
        return table[indices]
    if indices.flags.f_contiguous and not indices.flags.c_contiguous:  # as arrays from NIfTI files are
        return _look_up(table, indices.T).T
    found = np.empty(indices.shape, table.dtype)
    for index, plane in enumerate(indices):
        found[index] = table[plane]
    return found


def plan_targets(
    labels: Mapping[int, str], wanted: Mapping[str, int | Sequence[int]] | None = None, *, regions: bool = False
) -> Targets:
    """The targets that a user asks for, e.g. `{"tumour": [1, 2, 3]}`; with None every declared label is its own.

    `labels` are the data set's, by value. A label that `wanted` leaves out is learned as background. Raises
    SettingError naming the target.
    """
    if wanted is None:
        wanted = {name: value for value, name in labels.items() if value != 0}
    members = []
    for name, values in wanted.items():
        group = tuple(values) if isinstance(values, Sequence) and not isinstance(values, str) else (values,)
        for value in group:
            if type(value) is not int or value not in labels:
                known = ", ".join(f"{number} ({label})" for number, label in labels.items() if number != 0)
                raise SettingError(f"labels: {name} has {value!r}, which is not a label of the data set: {known}")
            if value == 0:
                raise SettingError(f"labels: {name} has 0, the background, which is no target")
        members.append(group)
    return Targets(names=tuple(wanted), members=tuple(members), regions=regions)
