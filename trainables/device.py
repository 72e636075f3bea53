"""Which device a command or a script computes on."""

import re

import torch

from trainables.errors import SettingError


def choose_device(name: str | None = None) -> torch.device:
    """The device `name`: `cpu`, `cuda` or `cuda:1`; None is the GPU where there is one, else the CPU.

    Raises SettingError for another name, and for a GPU that torch does not find here.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not (match := re.fullmatch(r"cpu|cuda(?::(\d+))?", name)):
        raise SettingError(f"device: must be cpu, cuda or one GPU such as cuda:1, got {name!r}")
    if name.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not count:
            raise SettingError(f"device: {name}: torch finds no GPU here")
        if int(match[1] or 0) >= count:
            raise SettingError(f"device: {name}: torch finds {count} here, the last is cuda:{count - 1}")
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """`cpu`, or what the GPU is called."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def use_device(device: torch.device) -> None:
    """Make a GPU the one that this process works on: streams, events and graphs that name none are then its."""
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
