"""Where the Ray dashboard of a sweep's driver is, told to others while it works by `ray.json` in its directory."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tuner.directory import SweepDirectory
from tuner.files import write_text
from tuner.owner import read_owner


@dataclass(frozen=True, kw_only=True)
class RayDashboard:
    """The Ray dashboard of a driver that works on a sweep."""

    url: str
    host: str
    """Where the driver runs: a dashboard mostly answers only there."""

    here: bool
    """Whether that is this machine."""


@contextmanager
def announced(directory: SweepDirectory, dashboard: str | None) -> Iterator[None]:
    """While the block runs others find the address of our Ray dashboard in the sweep's directory."""
    if dashboard:
        write_text(directory.ray_file, json.dumps({"dashboard": dashboard}))
    try:
        yield
    finally:
        with suppress(OSError):
            directory.ray_file.unlink(missing_ok=True)


def announced_dashboard(directory: SweepDirectory) -> RayDashboard | None:
    """The Ray dashboard of the driver that works on the sweep; None if none does, or its Ray has no dashboard."""
    owner = read_owner(directory.root)
    if owner is None or not owner.alive:
        return None
    with suppress(OSError, ValueError, KeyError, TypeError):
        url = str(json.loads(directory.ray_file.read_text())["dashboard"])
        return RayDashboard(url=url, host=owner.process.host, here=owner.process.is_here())
    return None
