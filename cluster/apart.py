"""Keeps Ray's processes out of this one's process group, so that a signal for the group does not reach them.

`timeout`, batch systems and wrappers end a program by SIGTERM to its whole group. Ray's own processes would then be
gone before this one could end in order. They still end with it, however it ends: Ray has the kernel see to that.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_here = threading.local()


@contextmanager
def starting_apart() -> Iterator[None]:
    """While the block runs each process that this thread starts leads a process group of its own.

    Those alone that are started by `os.fork`, or by `subprocess` with a `preexec_fn`, as Ray's are: only these run
    Python's hooks.
    """
    _here.apart = True
    try:
        yield
    finally:
        _here.apart = False


def _leave_group() -> None:
    if getattr(_here, "apart", False):
        with suppress(OSError):
            os.setpgid(0, 0)


os.register_at_fork(after_in_child=_leave_group)
