"""What training in each number format and memory layout took on a device, and which of them that speaks for."""

from collections.abc import Mapping
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
        """The fastest that agrees; None where nothing could be run.

        In the order of the rows, one that is not CLEARLY faster than an earlier one is as good: the same sweep should
        not train in another layout each time because of what else the machine did.
        """
        best: FormatCheck | None = None
        for row in self.rows:
            if not row.agrees or row.step_seconds is None:
                continue
            if best is None or row.step_seconds < CLEARLY * (best.step_seconds or 0.0):
                best = row
        return best

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
