"""When a slot has been silent for too long: its process stands still, or its trial gets nowhere.

A slot's process tells the driver every few seconds how far it is (`tuner/pulse.py`). It is silent as long as

    nothing comes                            the process is stopped, or hangs where no thread of it can run
    the same comes again while it works      the trial hangs: no step, no window, no report since

Time counts only as far as the driver was there to listen: after a night in which the machine slept, or the driver was
stopped itself, everybody has the whole timeout again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from tuner.process import Process

Timeout = float | Literal["auto"] | None
"""Minutes of silence; `auto`: AUTO_MINUTES, and a trial whose run does not tell its progress may take any time."""

AUTO_MINUTES = 30.0


@dataclass(frozen=True, kw_only=True)
class Sign:
    """How far a slot is: two that are the same, one after another, say that it got nowhere in between."""

    number: int
    """The trial that it runs, or ran last."""

    calls: int
    """How often the driver asked it for something."""

    working: bool
    """Whether it is at work on that; else it waits for the driver."""

    progress: Any = None
    """What the run says of its own progress; None where it says nothing, as while it is built."""


@dataclass(frozen=True, kw_only=True)
class Beat:
    """What a slot's process tells of itself."""

    actor: str
    """Ray's id of it."""

    node_id: str
    process: Process
    count: int
    """How often it has told something."""

    sign: Sign
    stands: str = ""
    """Where the trial stands and what it wrote since its last report; told once it gets nowhere."""


@dataclass
class _Heard:
    beat: Beat
    silent: float = 0.0
    """Seconds without a word."""

    still: float = 0.0
    """Seconds in which it was at work and got nowhere."""


class Silences:
    """How long each slot has been silent."""

    def __init__(self, timeout: Timeout) -> None:
        """`timeout`: in minutes."""
        self._auto = timeout == "auto"
        self.minutes = AUTO_MINUTES if timeout == "auto" else timeout
        self._heard: dict[str, _Heard] = {}

    def hear(self, beats: Iterable[Beat], *, listened: float) -> list[Beat]:
        """Note the last beats of all slots. Returns those of slots that are silent for too long, once for each timeout.

        Args:
            listened: seconds since the last time, as far as the driver was there.
        """
        known, self._heard = self._heard, {}
        overdue = []
        for beat in beats:
            heard = self._heard[beat.actor] = known.get(beat.actor) or _Heard(beat)
            before, heard.beat = heard.beat, beat
            if beat.actor not in known:
                continue
            heard.silent = heard.silent + listened if beat.count == before.count else 0.0
            heard.still = heard.still + listened if beat.sign.working and beat.sign == before.sign else 0.0
            if self._is_overdue(heard):
                overdue.append(beat)
                heard.silent = heard.still = 0.0
        return overdue

    def _is_overdue(self, heard: _Heard) -> bool:
        if self.minutes is None:
            return False
        may_stand_still = self._auto and heard.beat.sign.progress is None
        return max(heard.silent, 0.0 if may_stand_still else heard.still) >= 60 * self.minutes
