"""What a cluster's machines must have installed: our libraries, in the versions that are installed here."""

from importlib import metadata

from packaging.requirements import Requirement
from packaging.version import Version

from cluster.errors import ClusterError


def pinned_requirements() -> list[str]:
    """As pip takes them: `ray[default,tune]==2.60.0`. Raises ClusterError where voxtune is not installed."""
    try:
        declared = metadata.requires("voxtune") or []
    except metadata.PackageNotFoundError:
        raise ClusterError(
            "voxtune is used from a folder, so that its libraries are unknown; install it (pip install -e FOLDER)"
        ) from None
    needed = [found for found in map(Requirement, declared) if found.marker is None or found.marker.evaluate()]
    return [_pinned(found) for found in needed]


def _pinned(needed: Requirement) -> str:
    extras = f"[{','.join(sorted(needed.extras))}]" if needed.extras else ""
    version = Version(metadata.version(needed.name)).public  # without +cpu, which names a build of this machine's
    return f"{needed.name}{extras}=={version}"
