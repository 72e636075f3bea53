"""One thing that `voxtune doctor` looked at, and how it is."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "note", "problem"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """What was found, and what to do about it."""

    name: str
    status: Status
    """`ok`; `note`: worth knowing, sweeps run; `problem`: sweeps fail, or give wrong or slow results."""

    found: str
    advice: str = ""
    """What to do about a note or a problem."""


def ok(name: str, found: str) -> Check:
    return Check(name=name, status="ok", found=found)


def note(name: str, found: str, advice: str) -> Check:
    return Check(name=name, status="note", found=found, advice=advice)


def problem(name: str, found: str, advice: str) -> Check:
    return Check(name=name, status="problem", found=found, advice=advice)
