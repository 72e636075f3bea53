"""What goes from the driver's machine to trials on other nodes, and what comes back: code, data, states, models.

On a cluster that is this machine alone nothing travels.
"""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cluster.asking import on_each_node
from cluster.connect import Cluster
from cluster.errors import ClusterError
from cluster.shadowing import OURS, PACKAGES
from tuner.checkpoints import Checkpoints
from tuner.importing import source_path, top_module
from tuner.keeper import keeping
from tuner.object_storage import ObjectStorage, check_writable
from tuner.preparation import Prepared
from tuner.shipping import nodes_without, ship
from tuner.trial_files import LocalFiles, TrialFiles

log = logging.getLogger("voxtune")

LIBRARIES = ("torch", "monai", "numpy", "nibabel", "optuna", "pandas")
"""What code of ours that runs on a node imports. That Ray and Python are the same, Ray sees to."""


def code_of(trainable: str) -> list[Path]:
    """The packages and modules that a node needs to run trials, but for what is installed on it: ours, and the user's
    own package or module that `trainable`, an import string, names."""
    ours = [OURS / package for package in PACKAGES]
    top = top_module(trainable)
    if top in PACKAGES:
        return ours
    loaded = sys.modules.get(top)
    spec = loaded.__spec__ if loaded else find_spec(top)
    path = source_path(spec) if spec else None
    return ours if path is None or "site-packages" in path.parts else [*ours, path]


def check_libraries(cluster: Cluster) -> None:
    """Raises ClusterError naming the first node that lacks a library which trials need.

    A library of another version is a warning: trials there may give other scores.
    """
    if cluster.local:
        return
    here = _versions()
    for node, there in on_each_node(cluster.nodes, _versions):
        if missing := [name for name, found in there.items() if found is None]:
            raise ClusterError(
                f"node {node.name} lacks {', '.join(missing)}, which trials need; install what is here: "
                f"{', '.join(f'{name}=={here[name]}' for name in missing)}"
            )
        for name, found in there.items():
            if found != here[name]:
                log.warning("node %s has %s %s, here is %s: scores may differ", node.name, name, found, here[name])


def _versions() -> dict[str, str | None]:
    """Of the libraries that a trial imports, on the machine that this runs on; None of those that are missing."""
    found: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


@contextmanager
def reaching_driver(checkpoints: Checkpoints, cluster: Cluster) -> Iterator[TrialFiles]:
    """The trials' files as their processes reach them while the block runs.

    Raises ClusterError if a node can't write where the sweep file says.
    """
    files = checkpoints.files
    if isinstance(files, LocalFiles) and not cluster.local:
        with keeping(files.root) as sent:
            yield sent
        return
    if isinstance(files, ObjectStorage):
        check_writable(files, cluster.nodes)
    yield files


def reaching_nodes(
    data: Mapping[str, Any], prepared: Prepared | None, cluster: Cluster, *, tell: Callable[[str], None]
) -> Mapping[str, Any]:
    """The trials' data, with the preprocessed volumes shipped to nodes that can't see this machine's."""
    if cluster.local or prepared is None:
        return data
    folder = prepared.volumes.folder
    missing = nodes_without(folder, cluster.nodes)
    if not missing and not cluster.elastic:
        return data
    if missing:
        tell(f"Sending the preprocessed volumes to {', '.join(missing)}")
    return {**data, "volumes": ship(folder)}
