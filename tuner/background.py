"""Threads that work beside a block of code, and have ended when it is left."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Event, Thread


@contextmanager
def beside(work: Callable[[Event], None], *, name: str) -> Iterator[None]:
    """While the block runs let `work` run in a thread; it has to return soon after the event it is given is set."""
    ended = Event()
    thread = Thread(target=work, args=(ended,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def beating(beat: Callable[[], None], *, every: float, name: str) -> AbstractContextManager[None]:
    """While the block runs call `beat` every so many seconds, first after that time, in a thread of its own.

    When the block is left no beat is under way any more. `beat` must raise nothing, or the heart stands still.
    """

    def live(ended: Event) -> None:
        while not ended.wait(every):
            beat()

    return beside(live, name=name)
