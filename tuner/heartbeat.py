"""A thread that says again and again that this process lives."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def beating(beat: Callable[[], None], *, every: float, name: str) -> Iterator[None]:
    """While the block runs call `beat` every so many seconds, first after that time, in a thread of its own.

    When the block is left no beat is under way any more. `beat` must raise nothing, or the heart stands still.
    """
    done = threading.Event()

    def live() -> None:
        while not done.wait(every):
            beat()

    heart = threading.Thread(target=live, name=name, daemon=True)
    heart.start()
    try:
        yield
    finally:
        done.set()
        heart.join()
