"""What travels to a cluster with a job: our packages, the sweep file, and code of the user's that the sweep names."""

import shutil
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from cluster.errors import ClusterError
from cluster.shadowing import OURS, PACKAGES

_NO_SOURCE = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


def fill_job_folder(folder: Path, *, code: Iterable[Path] = ()) -> None:
    """Copy our packages, and the user's own modules and packages `code`, into `folder`.

    Ray unpacks the folder on each node that takes part; there it is the current folder, and first on Python's path.
    The cluster's own machines need our libraries, but not us.

    Raises ClusterError if a file or folder of `code` is missing or has the name of another that travels.
    """
    for package in PACKAGES:
        shutil.copytree(OURS / package, folder / package, ignore=_NO_SOURCE)
    _copy_metadata(folder)
    for path in code:
        target = folder / path.name
        if target.exists():
            raise ClusterError(f"--code: {path} has the name of a file that travels with every job; rename it")
        try:
            if path.is_dir():
                shutil.copytree(path, target, ignore=_NO_SOURCE)
            else:
                shutil.copy(path, target)
        except OSError as error:
            raise ClusterError(f"--code: {path} can't be copied: {error.strerror or error}") from error


def _copy_metadata(folder: Path) -> None:
    """Our version and the libraries that we need, where Python looks for them."""
    try:
        package = metadata.distribution("voxtune")
    except metadata.PackageNotFoundError:  # used from a folder, not installed
        return
    target = folder / f"voxtune-{package.version}.dist-info"
    target.mkdir()
    (target / "METADATA").write_text(package.read_text("METADATA") or "", encoding="utf-8")
