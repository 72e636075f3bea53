"""The pulse of the slots: each process tells how far it is, and one that is silent for too long is ended.

    PulseTaker       the driver's end: an actor that keeps each slot's last beat, asked now and then
    Pulse            a slot's end: a thread that sends a beat every few seconds

The process is ended by the kernel (SIGKILL), from its own node: one that is stopped hears nothing else. Ray Tune then
learns that the slot is lost, and opens another one.
"""

import itertools
import os
import signal
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from cluster.asking import pinned_here, pinned_to
from tuner.process import Process
from tuner.silence import Beat, Sign, Silences, Timeout

BEAT_SECONDS = 10.0
"""How often a slot tells how far it is; more often where the timeout is short."""

_BEATS_A_TIMEOUT = 6

_FRAMES = 12
"""Of where a trial stands, the innermost calls that are told."""


@dataclass(frozen=True)
class PulseAt:
    """Where and how often a slot tells."""

    taker: str
    seconds: float


class BeatsKept:
    """Keeps the last beat of each slot."""

    def __init__(self) -> None:
        self._last: dict[str, Beat] = {}

    def take(self, beat: Beat) -> None:
        self._last[beat.actor] = beat

    def forget(self, actor: str) -> None:
        self._last.pop(actor, None)

    def last(self) -> list[Beat]:
        return list(self._last.values())


class PulseTaker:
    """Listens to the slots of a search, and ends those that are silent for too long."""

    def __init__(self, timeout: Timeout, *, kept_by: tuple[str, Any] | None = None) -> None:
        """
        Args:
            timeout: in minutes, not None.
            kept_by: name and handle of an actor that is BeatsKept; one of its own by default.
        """
        self._silences = Silences(timeout)
        assert self._silences.minutes is not None
        self.minutes = self._silences.minutes
        name, self._actor = kept_by or _own_keeper()
        self.at = PulseAt(name, min(BEAT_SECONDS, 60 * self.minutes / _BEATS_A_TIMEOUT))
        self._asked: Any = None
        self._asked_at = self._heard_at = time.monotonic()
        self._ending: list[Any] = []
        self._ended: dict[str, Beat] = {}

    def listen(self) -> None:
        """Look whether there is news; to be called again and again, and never waits."""
        now = time.monotonic()
        if self._asked is None and now - self._asked_at >= self.at.seconds:
            self._asked, self._asked_at = self._actor.last.remote(), now
        if self._asked is None or not ray.wait([self._asked], timeout=0)[0]:
            return
        answer, self._asked = self._asked, None
        # A driver that was stopped, or a machine that slept: that long nobody was listened to.
        listened, self._heard_at = min(now - self._heard_at, 3 * self.at.seconds), now
        with suppress(RayError):
            for beat in self._silences.hear(ray.get(answer), listened=listened):
                self._end(beat)

    def silent(self, actor: str | None) -> Beat | None:
        """The last beat of a slot that was ended for its silence; None if it was not."""
        return self._ended.get(actor or "")

    def close(self) -> None:
        ray.kill(self._actor)

    def _end(self, beat: Beat) -> None:
        self._ended[beat.actor] = beat
        task: Any = ray.remote(num_cpus=0, max_retries=0)(_kill)
        # Kept, or Ray would cancel it. A node that does not answer at all is Ray's to notice.
        self._ending.append(task.options(scheduling_strategy=pinned_to(beat.node_id)).remote(beat.process))
        self._actor.forget.remote(beat.actor)


def _own_keeper() -> tuple[str, Any]:
    name = f"pulse-{uuid.uuid4().hex[:12]}"
    actor: Any = ray.remote(num_cpus=0)(BeatsKept)
    return name, actor.options(name=name, scheduling_strategy=pinned_here()).remote()


class Pulse:
    """Tells the driver how far this process is, from a thread of its own."""

    def __init__(self, at: PulseAt, look: Callable[[], Sign], written: Callable[[], str]) -> None:
        """Begins to tell. Both are called in that thread.

        Args:
            look: how far the process is.
            written: what the trial wrote since its last report.
        """
        self._look, self._written = look, written
        self._works_in = threading.get_ident()
        self._over = threading.Event()
        threading.Thread(target=self._tell, args=(at,), name="pulse", daemon=True).start()

    def end(self) -> None:
        self._over.set()

    def _tell(self, at: PulseAt) -> None:
        context = ray.get_runtime_context()
        actor, node_id, process = context.get_actor_id() or "", context.get_node_id(), Process.current()
        before = None
        with suppress(ValueError, RayError):  # the driver has ended, and this process soon will
            taker: Any = ray.get_actor(at.taker)
            for count in itertools.count():
                sign = self._look()
                stands = self._stands() if sign == before and sign.working else ""
                beat = Beat(actor=actor, node_id=node_id, process=process, count=count, sign=sign, stands=stands)
                taker.take.remote(beat)
                before = sign
                if self._over.wait(at.seconds):
                    break
            taker.forget.remote(actor)

    def _stands(self) -> str:
        """What the trial wrote, and the calls in which it stands."""
        frame = sys._current_frames().get(self._works_in)
        calls = traceback.format_stack(frame)[-_FRAMES:] if frame else []
        return f"{self._written()}it stands in\n{''.join(calls)}"


def _kill(process: Process) -> None:
    """End a process of this node."""
    if process.is_here() and process.lives():
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
