"""What a process takes of the processor, over time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
import psutil

from tuner.background import beating

SAMPLE_SECONDS = 0.5


class CpuWatch:
    """The seconds of processor time that a process has used, sampled twice a second."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._samples: list[tuple[float, float]] = []

    def sample(self) -> None:
        with suppress(psutil.NoSuchProcess):  # it ended just now
            used = self._process.cpu_times()
            self._samples.append((time.time(), used.user + used.system))

    def seconds(self, began: float, ended: float) -> float:
        """Used between two moments in Unix time."""
        times, used = np.array(self._samples).T
        return float(np.interp(ended, times, used) - np.interp(began, times, used))


@contextmanager
def watched_cpu(pid: int) -> Iterator[CpuWatch]:
    """While the block runs, the process `pid` is watched."""
    watch = CpuWatch(pid)
    watch.sample()
    with beating(watch.sample, every=SAMPLE_SECONDS, name="cpu"):
        yield watch
    watch.sample()
