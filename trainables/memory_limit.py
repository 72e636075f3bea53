"""How much memory a run took, and an end with torch's own error where that is more than it may."""

import ctypes
import resource
from contextlib import suppress
from pathlib import Path

import torch

from trainables.memory_live import HEAP_UP_TO

_GIB = 2**30
_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


class MemoryMeter:
    """The peak of one run's memory on a device, and its limit.

    On a GPU torch keeps both. On a CPU the kernel keeps the peak of the process, from the meter's making on; it is
    compared with the limit by `check`.
    """

    def __init__(self, device: torch.device, limit_gib: float | None) -> None:
        """`limit_gib`: of the run's device memory, on a CPU of the whole process; None for no limit."""
        self._device = device
        self._limit_gib = limit_gib
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            total = torch.cuda.get_device_properties(device).total_memory / _GIB
            torch.cuda.set_per_process_memory_fraction(min(1.0, (limit_gib or total) / total), device)
        else:
            _give_back_freed_memory()
            _keep_what_is_freed()
            with suppress(OSError):  # where it can't be reset, earlier runs of the process count too
                _RESET.write_text("5")  # proc(5): the peak is from now on what is resident now

    def check(self) -> None:
        """Raises torch.OutOfMemoryError where the process has taken more than the limit; on a GPU torch itself does."""
        if self._limit_gib is not None and self._device.type != "cuda" and self.peak_gib > self._limit_gib:
            raise torch.OutOfMemoryError(
                f"the process took {self.peak_gib:.2f} GiB of memory, memory_limit_gib is {self._limit_gib:g}"
            )

    @property
    def peak_gib(self) -> float:
        """Memory at its highest: what torch held on a GPU, what the process held in RAM."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) / _GIB
        return resident_peak_gib()


def resident_gib() -> float:
    """What this process has in RAM, pages shared with others included."""
    return _status("VmRSS") or 0.0


def resident_peak_gib() -> float:
    """The most that it has had."""
    peak = _status("VmHWM")  # which sandboxes that are a kernel of their own, as gVisor, leave out
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20 if peak is None else peak


def _status(key: str) -> float | None:
    line = next((line for line in _STATUS.read_text().splitlines() if line.startswith(f"{key}:")), None)
    return None if line is None else int(line.split()[1]) / 2**20


def _give_back_freed_memory() -> None:
    """Return to the kernel what earlier runs have freed: glibc keeps much of it between what is still in use."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _keep_what_is_freed() -> None:
    """Let glibc keep what a step frees until the next run: else the next step gets it back page by page, zeroed.

    Costs 7 to 15 % of a step on hippocampi. Only storages above 32 MiB, HEAP_UP_TO in `memory_live`, still go back at
    once: what glibc does by itself too, but kept whole they would not fit into one another's gaps.
    """
    with suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, HEAP_UP_TO)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
