"""What a sweep ran on: versions, machine and code, so that its figures can be read later."""

import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from tuner import machine

PRECISION_CHECKS = "precision_checks"
"""Where in `environment.json` it stands how fast each number format is; see `tuner.precision_choice`."""

LIBRARIES = ("voxtune", "torch", "ray", "optuna", "monai", "nibabel", "numpy", "pandas")


def describe_environment() -> dict[str, Any]:
    """Versions, processor, memory and devices of this machine, and the revision of our own code."""
    return {
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "system": platform.platform(),
        "processor": processor(),
        "cores": machine.usable_cores(),
        "memory_gib": round(machine.memory_gib(), 1),
        "devices": [asdict(device) for device in machine.cuda_devices()],
        "revision": _revision(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def libraries_text(environment: Mapping[str, Any]) -> str:
    """The libraries of what `describe_environment` gave, with their versions, in a line."""
    return ", ".join(f"{name} {version}" for name, version in environment.get("libraries", {}).items() if version)


def processor() -> str:
    """The processor's name as the kernel gives it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


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
