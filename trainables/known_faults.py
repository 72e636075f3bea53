"""Versions of libraries in which 3D convolutions in half precision are known to be wrong or slow."""


def cudnn_version(number: int | None) -> tuple[int, int, int] | None:
    """What torch tells of cuDNN's version as one number: 91002 is 9.10.2, and 8902, as before version 9, 8.9.2."""
    if number is None:
        return None
    major = 10_000 if number >= 10_000 else 1_000
    return number // major, number % major // 100, number % 100


def convolution_fault(torch_version: str, cudnn: tuple[int, ...] | None) -> str | None:
    """What is wrong with 3D convolutions in half precision on a GPU in these versions; None where nothing is known.

    `cudnn`: such as (9, 10, 2), None for a torch without CUDA.
    """
    if cudnn is None:
        return None
    # pytorch issue 163539: seen with cuDNN 9.8 and 9.10, gone with 9.13.
    if (9, 8) <= cudnn < (9, 13):
        return "in bf16 large ones give wrong results with cuDNN 9.8 to 9.12"
    # pytorch issues 166122 and 166643: 2.9.0 goes around cuDNN, 2.9.1 does unless cuDNN is 9.15 or later.
    if torch_version.startswith("2.9.") and (torch_version.startswith("2.9.0") or cudnn < (9, 15)):
        return "mixed precision is about four times slower in torch 2.9"
    return None
