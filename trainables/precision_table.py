"""What training in each number format and memory layout took on a device, and which of them that speaks for."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

TOLERANCE = {"fp32": 0.01, "tf32": 0.05, "fp16": 0.05, "bf16": 0.15}
"""How far a step's gradient may be from fp32's, as a share of its length. Rounding to bf16's 8 bits comes to 0.006 to
0.035 in the four networks here, to the 11 bits of the others to less; a faulty kernel, or an overflow, to far more."""

CLEARLY = 0.93
"""Share of another's time."""


@dataclass(frozen=True, kw_only=True)
class FormatCheck:
    """How one format did."""

    precision: str
    memory_format: str
    step_seconds: float | None = None
    """The shortest of a few steps; None where it was not run."""

    gradient_error: float | None = None
    """The distance of the first step's gradient from that of fp32, as a share of its length."""

    failure: str | None = None
    """Why it was not run."""

    @property
    def agrees(self) -> bool:
        return self.gradient_error is not None and self.gradient_error <= TOLERANCE[self.precision]


@dataclass(frozen=True, kw_only=True)
class PrecisionCheck:
    """What was measured on a device."""

    device: str
    patch_size: tuple[int, ...]
    batch_size: int
    rows: tuple[FormatCheck, ...]
    fault: str | None = None
    """What is known against this device's libraries, for people."""

    @property
    def chosen(self) -> FormatCheck | None:
        """The fastest that agrees; None where nothing could be run."""
        return _clearly_fastest(self.rows)

    @property
    def layouts(self) -> dict[str, str]:
        """By precision the memory format that it is fastest in."""
        names = dict.fromkeys(row.precision for row in self.rows)
        best = {name: _clearly_fastest([row for row in self.rows if row.precision == name]) for name in names}
        return {name: row.memory_format for name, row in best.items() if row}

    def fastest(self, precision: str) -> FormatCheck | None:
        """Of `precision`, in whichever layout; None where it could not be run."""
        timed = [row for row in self.rows if row.precision == precision and row.step_seconds is not None]
        return min(timed, key=lambda row: row.step_seconds or 0.0, default=None)

    def to_mapping(self) -> dict[str, Any]:
        """In plain types."""
        return {**asdict(self), "chosen": asdict(self.chosen) if self.chosen else None}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "PrecisionCheck":
        """The inverse of `to_mapping`."""
        return cls(
            device=mapping["device"],
            patch_size=tuple(mapping["patch_size"]),
            batch_size=mapping["batch_size"],
            rows=tuple(FormatCheck(**row) for row in mapping["rows"]),
            fault=mapping["fault"],
        )


def _clearly_fastest(rows: Iterable[FormatCheck]) -> FormatCheck | None:
    """Of those that agree. One that is not CLEARLY faster than an earlier one counts as no faster.

    So the same sweep does not train in another layout each time because of what else the machine did.
    """
    best: FormatCheck | None = None
    for row in rows:
        if not row.agrees or row.step_seconds is None:
            continue
        if best is None or row.step_seconds < CLEARLY * (best.step_seconds or 0.0):
            best = row
    return best
