"""Which control groups this process is in, and the memory that they leave to it.

Containers, batch systems and `systemd` limit a process by them, which neither the number of processors nor the size of
the memory shows.
"""

from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")

_UNLIMITED = 2**60
"""Bytes; version 1 of control groups writes a number near 2**63 for `no limit`."""


def own_groups(controller: str) -> Iterator[Path]:
    """Folders of the control groups that this process is in, the innermost first, for version 1 and 2."""
    for line in kernel_file(_OWN_CGROUPS, "").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            root = _CGROUPS
        elif controller in controllers.split(","):
            root = _CGROUPS / controller
        else:
            continue
        inside = root / path.lstrip("/")
        # A container may show a path of the host here, which it can't see: its own group is then the root.
        yield from (folder for folder in (inside, *inside.parents) if folder.is_relative_to(root) and folder.is_dir())


def memory_groups() -> list[tuple[int, int]]:
    """Limit and use in bytes of each control group that limits this process's memory."""
    groups = []
    for group in own_groups("memory"):
        for limit_file, use_file in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit = kernel_file(group / limit_file, "max")
            if limit.isdigit() and int(limit) < _UNLIMITED:
                groups.append((int(limit), int(kernel_file(group / use_file, "0"))))
    return groups


def kernel_file(path: Path, default: str) -> str:
    """What the kernel tells in `path`, without blanks around it; `default` where there is no such file."""
    try:
        return path.read_text().strip()
    except OSError:
        return default
