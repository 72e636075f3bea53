"""What errors mean: real ones where a CPU has them, else the texts that CUDA and its libraries give."""

import errno
import mmap

import numpy as np
import pytest
import torch

from trainables.errors import TrainingError
from trainables.memory_errors import is_device_lost, is_out_of_memory


def caught(act: object, *args: object) -> BaseException:
    with pytest.raises(BaseException) as raised:  # noqa: PT011 (any error is the result)
        act(*args)  # type: ignore[operator]
    return raised.value


def test_a_tensor_that_no_machine_holds() -> None:
    error = caught(torch.empty, 1 << 60)
    assert type(error) is RuntimeError
    assert is_out_of_memory(error)
    assert not is_device_lost(error)


def test_arrays_and_maps_that_no_machine_holds() -> None:
    assert is_out_of_memory(caught(np.empty, 1 << 55))
    assert is_out_of_memory(caught(mmap.mmap, -1, 1 << 46))
    assert not is_out_of_memory(caught(open, "/nowhere/file"))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("FIND was unable to find an engine to execute this computation after trying 9 plans."),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_out_of_memory(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert not is_device_lost(error)


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: device-side assert triggered\nCompile with `TORCH_USE_CUDA_DSA`"),
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"),
    ],
)
def test_device_lost(error: Exception) -> None:
    assert is_device_lost(error)
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
        torch.AcceleratorError("CUDA error: no kernel image is available for execution on the device"),
        ValueError("the note says: CUDA error: out of memory, device-side assert triggered"),
        TrainingError("the loss became nan"),
    ],
)
def test_other_errors_are_neither(error: Exception) -> None:
    assert not is_out_of_memory(error)
    assert not is_device_lost(error)


def test_what_an_error_arose_from_counts() -> None:
    def cleaning_up_fails() -> None:
        try:
            torch.empty(1 << 60)
        except RuntimeError:
            raise KeyError("buffer")  # noqa: B904 (what a handler's own mistake looks like)

    def wrapped() -> None:
        try:
            torch.empty(1 << 60)
        except RuntimeError as error:
            raise TrainingError("the first step failed") from error

    def another_error_in_its_place() -> None:
        try:
            torch.empty(1 << 60)
        except RuntimeError:
            raise TrainingError("the batch is too large") from None

    assert is_out_of_memory(caught(cleaning_up_fails))
    assert is_out_of_memory(caught(wrapped))
    assert not is_out_of_memory(caught(another_error_in_its_place))
