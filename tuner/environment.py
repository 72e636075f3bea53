"""What a sweep ran on: versions, machine and code, so that its figures can be read later."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

LIBRARIES = ("voxtune", "torch", "ray", "optuna", "monai", "nibabel", "numpy", "pandas")


def describe_environment() -> dict[str, Any]:
    """Versions, processor, memory and devices of this machine, and the revision of our own code."""
    return {
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "system": platform.platform(),
        "processor": processor(),
        "cores": usable_cores(),
        "memory_gib": round(memory_gib(), 1),
        "devices": devices(),
        "revision": _revision(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def memory_gib() -> float:
    """The machine's memory, or the control group's limit where that is lower."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(machine, int(text) if text.isdigit() else machine) / 2**30


def processor() -> str:
    """The processor's name as the kernel gives it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def devices() -> list[dict[str, Any]]:
    """The CUDA devices: name and memory in GiB."""
    import torch

    return [
        {"name": torch.cuda.get_device_name(index), "memory_gib": round(free_total[1] / 2**30, 1)}
        for index in range(torch.cuda.device_count())
        for free_total in [torch.cuda.mem_get_info(index)]
    ]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _revision() -> str | None:
    """The git revision of our code, with a plus sign if it was changed since; None outside a checkout."""
    folder = Path(__file__).parent
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty=+"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
