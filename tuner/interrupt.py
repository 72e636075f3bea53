"""What Ctrl-C does to a search: the first one ends it in order and says so at once, the second leaves at once.

SIGTERM, by which batch systems and containers end a process, does the same.

Ray Tune has a handler of its own, which says nothing that we show. It can be told not to use it for Ctrl-C (SIGINT);
it still puts it on SIGUSR1, and from there the first Ctrl-C calls it.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (
    "Stopping: trials that run now go on from their last checkpoint when the sweep is resumed; "
    "press Ctrl-C again to leave at once."
)
"""Tune gives the trials' processes some seconds to end, not the time that a step may take."""


@contextmanager
def ending_in_order(tell: Callable[[str], None]) -> Iterator[None]:
    """While the block runs a Ray Tune search, the first Ctrl-C has it end in order; it then returns as if finished.

    A second Ctrl-C, or one before the search has begun, raises KeyboardInterrupt. On leaving, SIGINT and SIGUSR1 have
    the handlers that they had before. Outside the main thread, where Python takes no signals, nothing is changed.

    Args:
        tell: shows STOPPING to the user; it must wait for no lock that the main thread holds while it searches.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)}

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        end_search = signal.getsignal(signal.SIGUSR1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if end_search is before[signal.SIGUSR1] or not callable(end_search):
            raise KeyboardInterrupt
        tell(STOPPING)
        end_search(signal.SIGUSR1, frame)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # Tune's handler brought ours back

    known = os.environ.get("TUNE_DISABLE_SIGINT_HANDLER")
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if known is None:
            del os.environ["TUNE_DISABLE_SIGINT_HANDLER"]
        else:
            os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = known


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """While the block runs SIGTERM does what Ctrl-C does at that moment; on leaving it does what it did before.

    To be entered once Ray has started: it takes SIGTERM for itself, prints a stack of addresses and ends the process
    with what it holds. Outside the main thread nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_termination(number: int, frame: FrameType | None) -> None:
        on_interrupt = signal.getsignal(signal.SIGINT)
        if not callable(on_interrupt):  # ignored, as in a process that nohup or a shell's & started
            raise KeyboardInterrupt
        on_interrupt(
            signal.SIGINT, frame
        )  # called, not raised: what Ray starts, a job's driver too, has SIGINT blocked

    before = signal.signal(signal.SIGTERM, on_termination)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
