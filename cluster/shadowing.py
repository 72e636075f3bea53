"""Whether a folder hides our packages: Ray puts the driver's working directory first on its workers' path."""

from importlib.machinery import PathFinder
from pathlib import Path

OURS = Path(__file__).resolve().parents[1]
"""The folder that holds our packages."""

PACKAGES = ("tuner", "trainables", "search_spaces", "cluster")


def hiding(folder: Path) -> list[str]:
    """The files in `folder` that a worker would import in place of our packages."""
    found = (PathFinder.find_spec(package, [str(folder)]) for package in PACKAGES)
    # A folder without __init__.py (origin None) hides nothing: any real package on the path goes before it.
    origins = [spec.origin for spec in found if spec and spec.origin]
    return [origin for origin in origins if Path(origin).resolve().parent.parent != OURS]
