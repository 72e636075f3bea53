"""What Ctrl-C does to a search: the first one ends it in order and says so at once, the second leaves at once.

SIGTERM, by which batch systems and containers end a process, does the same.

Ray Tune has a handler of its own, which says nothing that we show. It can be told not to use it for Ctrl-C (SIGINT);
it still puts it on SIGUSR1, and from there the first Ctrl-C calls it.

A signal may have been for Ray as well, as where a whole control group is ended. Without Ray, its library would wait for
a minute, where Python's handlers are not called, and then end this process; so where Ray is gone the search is left at
once. A thread looks to that: a signal wakes it, whatever the main thread does.
"""

import _thread
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any] | int | None
"""What Python's `signal` takes and gives."""

STOPPING = (
    "Stopping: trials that run now go on from their last checkpoint when the sweep is resumed; "
    "press Ctrl-C again to leave at once."
)
"""Tune gives the trials' processes some seconds to end, not the time that a step may take."""

SAME_SECONDS = 0.2
"""Signals so close together are one: `timeout` tells its process and then the process's group, wrappers do alike."""

LOOK_SECONDS = 0.25
"""How often it is asked, once a signal has come, whether Ray is still there."""

HANGS_SECONDS = 3.0
"""If the search has not been left so long after an interrupt, it hangs in Ray's library."""


@contextmanager
def ending_in_order(
    tell: Callable[[str], None],
    *,
    ray_lives: Callable[[], bool] = lambda: True,
    give_up: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """While the block runs a Ray Tune search, the first Ctrl-C has it end in order; it then returns as if finished.

    A second Ctrl-C, or one before the search has begun, raises KeyboardInterrupt; so does the first where Ray is gone.
    On leaving, SIGINT and SIGUSR1 have the handlers that they had before. Outside the main thread, where Python takes
    no signals, nothing is changed.

    Args:
        tell: shows STOPPING to the user; it must wait for no lock that the main thread holds while it searches.
        ray_lives: whether Ray can still be reached; asked in a thread of its own.
        give_up: called in that thread where Ray is gone and the block hangs in its library; is to end the process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)}
    left, ray_gone = threading.Event(), threading.Event()
    told: float | None = None

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal told
        if ray_gone.is_set():
            raise KeyboardInterrupt
        if told is not None and time.monotonic() - told < SAME_SECONDS:
            return
        end_search = signal.getsignal(signal.SIGUSR1)
        if told is not None or end_search is before[signal.SIGUSR1] or not callable(end_search):
            raise KeyboardInterrupt
        told = time.monotonic()
        tell(STOPPING)
        end_search(signal.SIGUSR1, frame)
        signal.signal(signal.SIGINT, on_interrupt)  # Tune's handler put back what it found

    def leave_without_ray(woken: socket.socket) -> None:
        with woken:
            if not woken.recv(1):
                return
            while ray_lives():
                if left.wait(LOOK_SECONDS):
                    return
            ray_gone.set()
            _thread.interrupt_main()
            if not left.wait(HANGS_SECONDS):
                give_up()

    known = os.environ.get("TUNE_DISABLE_SIGINT_HANDLER")
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    signal.signal(signal.SIGINT, on_interrupt)
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    woken_before = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=leave_without_ray, args=(woken,), name="leave without Ray", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken_before)  # first: a signal must not find its other end closed
        left.set()
        wake.close()
        for number, handler in before.items():
            signal.signal(number, handler)
        if known is None:
            del os.environ["TUNE_DISABLE_SIGINT_HANDLER"]
        else:
            os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = known


@contextmanager
def terminated_as_interrupted(*, afterwards: Handler = None) -> Iterator[None]:
    """While the block runs SIGTERM does what Ctrl-C does at that moment; on leaving it does what it did before.

    To be entered again once Ray has started: it takes SIGTERM for itself, prints a stack of addresses and ends the
    process with what it holds. That must not come back while Ray is left: `afterwards` is then what SIGTERM did before
    Ray was started. Outside the main thread nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    last = -math.inf

    def on_termination(number: int, frame: FrameType | None) -> None:
        nonlocal last
        again, last = time.monotonic() - last < SAME_SECONDS, time.monotonic()
        if again:
            return
        on_interrupt = signal.getsignal(signal.SIGINT)
        if not callable(on_interrupt):  # ignored, as in a process that nohup or a shell's & started
            raise KeyboardInterrupt
        # Called, not raised: what Ray starts, a job's driver too, has SIGINT blocked.
        on_interrupt(signal.SIGINT, frame)

    before = signal.signal(signal.SIGTERM, on_termination)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, afterwards or before or signal.SIG_DFL)


@contextmanager
def undisturbed() -> Iterator[None]:
    """While the block runs Ctrl-C and SIGTERM wait: what they do they do when it is left.

    For blocks that take no time and must not be left half done, such as a write. Outside the main thread nothing is
    changed: an interrupt is raised in the main one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {int(number): handler for number, handler in found.items() if callable(handler)}
    waiting: list[tuple[int, FrameType | None]] = []
    left = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        if left:
            handlers[number](number, frame)
        else:
            waiting.append((number, frame))

    try:
        for number in handlers:
            signal.signal(number, on_signal)
        yield
    finally:
        left = True
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number, frame in waiting:
            handlers[number](number, frame)
