"""What an error says of the device: that a training run did not fit in its memory, or that the device is lost."""

import errno
from collections.abc import Iterator

from trainables.torch_if_loaded import torch_if_loaded

_NO_MEMORY = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",  # the same on Windows
    "std::bad_alloc",
    "CUDA error: out of memory",  # not by torch's allocator: a kernel's stack, a library's handle
    "HIP error: out of memory",
    "_STATUS_ALLOC_FAILED",  # cuBLAS, cuSOLVER, cuDNN up to version 8
    "_ALLOCATION_FAILED",  # cuDNN 9
    # torch tries one algorithm of cuDNN after the other and drops why each failed; when even the last one does, it is
    # nearly always for want of memory for its workspace.
    "unable to find an engine to execute this computation",
)

_DEVICE_LOST = (
    "device-side assert triggered",
    "an illegal memory access was encountered",
    "an illegal instruction was encountered",
    "misaligned address",
    "operation not supported on global/shared address space",
    "invalid program counter",
    "hardware stack error",
    "unspecified launch failure",
    "the launch timed out and was terminated",
    "context is destroyed",
    "uncorrectable ECC error encountered",
    "uncorrectable NVLink error detected",
    "_STATUS_EXECUTION_FAILED",  # what cuBLAS and cuDNN make of the ones above
)
"""CUDA's texts of errors after which, as its runtime API says, every further call in the process fails alike."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error`, or what it arose from, is that the device or the machine had no memory left."""
    return any(map(_means_no_memory, _chain(error)))


def is_device_lost(error: BaseException) -> bool:
    """Whether `error`, or what it arose from, leaves the process without its device: only a new process can go on."""
    return any(_says(link, _DEVICE_LOST) for link in _chain(error))


def _means_no_memory(error: BaseException) -> bool:
    torch = torch_if_loaded()  # a process that has not imported it has none of its errors
    return (
        isinstance(error, (MemoryError, torch.OutOfMemoryError) if torch else MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or _says(error, _NO_MEMORY)
    )


def _says(error: BaseException, texts: tuple[str, ...]) -> bool:
    """torch raises RuntimeError and, from 2.8 on, AcceleratorError, a kind of it: only their text tells what it was."""
    return isinstance(error, RuntimeError) and any(text in str(error) for text in texts)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and those that a traceback would show above it."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
