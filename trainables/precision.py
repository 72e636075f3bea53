"""In which number format a network runs: fp32, tf32, fp16, bf16, and what `auto` means on a device."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from trainables.errors import SettingError

PRECISIONS = ("auto", "fp32", "tf32", "fp16", "bf16")
MOST_MEMORY_FIRST = ("fp32", "tf32", "bf16", "fp16")
HALF = {"fp16": torch.float16, "bf16": torch.bfloat16}

# The compute capability of the first cards with tensor cores for the format (Volta, Ampere, Ampere).
_SINCE = {"fp16": (7, 0), "bf16": (8, 0), "tf32": (8, 0)}


@dataclass(frozen=True, kw_only=True)
class Precision:
    """A number format that the device has. Made by `resolve_precision`."""

    name: str
    """`fp32`, `tf32`, `fp16` or `bf16`; never `auto`."""

    device: torch.device

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Run the enclosed forward pass in this format; weights stay fp32.

        Sets TF32 for the whole process, and leaves it so for the backward pass, which runs outside: on for `tf32`, off
        for the others. torch's own default is on for convolutions and off for matrix products.
        """
        if self.device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = self.name == "tf32"
            torch.backends.cuda.matmul.allow_tf32 = self.name == "tf32"
        dtype = HALF.get(self.name)
        # A graph must not keep weights that were converted before it was captured; and each is used once a pass.
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None, cache_enabled=False):
            yield

    def grad_scaler(self) -> torch.amp.GradScaler:
        """A scaler of the loss that keeps fp16 gradients above zero; for the other formats one that does nothing."""
        return torch.amp.GradScaler(self.device.type, enabled=self.name == "fp16")


def available_precisions(device: torch.device | str) -> tuple[str, ...]:
    """The formats that `device` has, fp32 first."""
    device = torch.device(device)
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        return "fp32", *(name for name in PRECISIONS if name in _SINCE and capability >= _SINCE[name])
    return ("fp32", "bf16") if device.type == "cpu" else ("fp32",)


def resolve_precision(name: str, device: torch.device | str) -> Precision:
    """The format `name` on `device`; raises SettingError where the device lacks it, and says what would work.

    `auto` is fp32 on a CPU, where half precision is emulated and slower, and on CUDA fp16 where the card has tensor
    cores (compute capability 7.0, Volta), fp32 where it has not. Not bf16: its 3D convolutions take more memory in some
    cuDNN versions (pytorch#166643) and are wrong at large shapes in one (#163539).
    """
    if name not in PRECISIONS:
        raise SettingError(f"precision: must be one of {', '.join(PRECISIONS)}, got {name!r}")
    device = torch.device(device)
    if device.type != "cuda":
        return Precision(name=_without_tensor_cores(name, device), device=device)
    available = available_precisions(device)
    if name == "auto":
        name = "fp16" if "fp16" in available else "fp32"
    elif name in _SINCE and name not in available:
        raise SettingError(
            f"precision: {name} needs a GPU of compute capability {_dotted(_SINCE[name])}, and {device} has "
            f"{_dotted(torch.cuda.get_device_capability(device))}; use {' or '.join(available)}"
        )
    return Precision(name=name, device=device)


def precision_or_fp32(name: str, device: torch.device) -> Precision:
    """The format `name` on `device`, or fp32 where this device or this version lacks it."""
    try:
        return resolve_precision(name, device)
    except SettingError:
        return resolve_precision("fp32", device)


def _without_tensor_cores(name: str, device: torch.device) -> str:
    allowed = ("auto", *available_precisions(device))
    if name not in allowed:
        raise SettingError(
            f"precision: {name} needs a CUDA GPU, and this run is on {device.type!r}; use {' or '.join(allowed)}"
        )
    return "fp32" if name == "auto" else name


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"
