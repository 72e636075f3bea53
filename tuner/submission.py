"""Turns a sweep file into a job that runs on a cluster: what travels, which command runs there, where its results lie.

A path in the sweep file means a place on the cluster. Relative ones count from the sweep file, which no longer lies
beside the data there, so they are refused. A `groups_file` that is there on this machine travels.
"""

import shlex
from collections.abc import Iterable, Sequence
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cluster.errors import ClusterError
from cluster.job_folder import fill_job_folder
from cluster.shadowing import PACKAGES
from cluster.sweep_job import Order, SweepJob
from search_spaces.yaml_file import read_yaml
from tuner.config import SweepConfig
from tuner.errors import SweepConfigError
from tuner.importing import source_path, top_module
from tuner.section import absolute_path, validated
from tuner.storage import holds_password
from tuner.webhook_url import is_secret

SWEEP_FILE, GROUPS_FILE = "sweep.yaml", "groups.csv"
"""Names of what travels besides code."""


def order_to_run(
    folder: Path,
    sweep: Path,
    *,
    runs: str,
    name: str | None = None,
    trials: int | None = None,
    confirm: bool = True,
    data: str | None = None,
    code: Iterable[Path] = (),
    earlier: Iterable[str] = (),
    join: bool = False,
) -> Order:
    """A job that begins the sweep in the file `sweep`, or goes on with it where it was begun already.

    Args:
        folder: an empty one, filled with what travels.
        runs: the folder of all sweeps on the cluster.
        name, trials, confirm: as options of `voxtune run`.
        data: the data set's folder on the cluster, instead of the file's `dataset.path`.
        code: what the user's own training run imports besides the module that the sweep file names.
        earlier: sweeps on the cluster whose best configurations are tried first.
        join: help with the sweep of this name that another cluster's driver began in the database `storage`.

    Raises SweepConfigError if the file holds what can't be used on a cluster, ClusterError if an option can't.
    """
    _check_place("--runs", runs)
    config, files = travelling_files(sweep, name=name, data=data)
    # As far as can be told here: the variables in its URL are the cluster's.
    if join and (config.storage is None or config.storage.startswith("sqlite")):
        raise SweepConfigError(f"{sweep}: --join: the file names no `storage`, a database that several drivers share")
    own = [*_own_modules(config, sweep), *code]
    fill_job_folder(folder, code=own)
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")
    arguments = ["run", SWEEP_FILE, "--address", "auto", "--join" if join else "--continue"]
    if trials is not None:  # not in the file: one that goes on reads its own
        arguments += ["--trials", str(trials)]
    if not confirm:
        arguments.append("--no-confirm")
    for run in earlier:
        arguments += ["--from", run]
    return _order(config.name, arguments, folder=folder, runs=runs, own=own)


def travelling_files(
    sweep: Path, *, name: str | None = None, data: str | None = None
) -> tuple[SweepConfig, dict[str, str]]:
    """The sweep as a cluster is to run it, and the files, by name, that say so there: all in one folder.

    Raises SweepConfigError if the file holds what can't be used on a cluster, ClusterError if an option can't.
    """
    config = validated(SweepConfig, read_yaml(sweep), source=sweep)
    config = config.changed(_changes(config, name=name, data=data))
    groups = _travelling_groups(config, sweep)
    _check_paths(config, sweep, groups_travel=groups is not None)
    if holds_password(config.storage):
        raise SweepConfigError(
            f"{sweep}: storage holds a password, which a job must not carry; write ${{NAME}} in its place, and set "
            "that variable where the cluster's head is started"
        )
    if is_secret(config.on_end):
        raise SweepConfigError(
            f"{sweep}: on_end stands there in plain text, which a job must not carry; write ${{NAME}} in its place, "
            "and set that variable where the cluster's head is started"
        )
    files = {}
    if groups is not None:
        try:
            files[GROUPS_FILE] = groups.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SweepConfigError(f"{sweep}: dataset.groups_file: {groups} can't be read: {error}") from None
        config = config.changed({"dataset": {"groups_file": Path(GROUPS_FILE)}})
    return config, {SWEEP_FILE: config.to_yaml(), **files}


def order_to_resume(folder: Path, job: SweepJob, options: Sequence[str]) -> Order:
    """A job that goes on with the sweep of an earlier one, with `options` of `voxtune resume`.

    Raises ClusterError if the user's own code that travelled with that job is not in the current folder.
    """
    own = [Path.cwd() / name for name in job.code]
    for path in own:
        if not path.exists():
            raise ClusterError(
                f"the job {job.id} took {path.name} along, which is not in the current folder; "
                "go to where it lies, or submit the sweep file again"
            )
    fill_job_folder(folder, code=own)
    arguments = ["resume", job.sweep, "--address", "auto", *options]
    return _order(job.sweep, arguments, folder=folder, runs=job.runs, own=own)


def command_there(arguments: Sequence[str], *, runs: str) -> str:
    """The shell command that does what `voxtune` does with `arguments` and `--runs` on the cluster."""
    # exec: the driver is then what Ray sends its signals to, and no shell that ends before it.
    return f"exec python3 -m tuner.in_cluster {shlex.join(arguments)} --runs {_quoted(runs)}"


def _order(sweep: str, arguments: Sequence[str], *, folder: Path, runs: str, own: Sequence[Path]) -> Order:
    return Order(
        sweep=sweep,
        entrypoint=command_there(arguments, runs=runs),
        folder=folder,
        runs=runs,
        version=_version(),
        code=tuple(path.name for path in own),
    )


def _changes(config: SweepConfig, *, name: str | None, data: str | None) -> dict[str, Any]:
    """What the command line changes in the file that travels."""
    changes: dict[str, Any] = {} if name is None else {"name": name}
    if data is not None:
        _check_place("--data", data)
        if config.dataset is None:
            raise ClusterError(f"--data: the sweep {config.name} has no data set")
        changes["dataset"] = {"path": Path(data)}
    return changes


def _check_place(key: str, place: str) -> None:
    """Raises ClusterError if a path can't mean a place on the cluster."""
    if not place.startswith(("/", "~/")) and "://" not in place:
        raise ClusterError(f"{key}: must be an absolute path on the cluster, or begin with ~/; got {place!r}")


def _check_paths(config: SweepConfig, sweep: Path, *, groups_travel: bool) -> None:
    """Raises SweepConfigError if a path of the file would mean another place on the cluster."""
    paths = {"cache": config.cache}
    if config.dataset is not None:
        paths["dataset.path"] = config.dataset.path
        if not groups_travel:
            paths["dataset.groups_file"] = config.dataset.groups_file
    for key, path in paths.items():
        if path is not None and not path.is_absolute() and path.parts[:1] != ("~",):
            instead = "; or say by --data where it lies there" if key == "dataset.path" else ""
            raise SweepConfigError(
                f"{sweep}: {key}: must be an absolute path on the cluster's machines, where this file's folder is "
                f"unknown; got {str(path)!r}{instead}"
            )


def _travelling_groups(config: SweepConfig, sweep: Path) -> Path | None:
    """The groups file, if it is one on this machine."""
    if config.dataset is None or config.dataset.groups_file is None:
        return None
    file = absolute_path(config.dataset.groups_file, sweep.parent)
    return file if file.is_file() else None


def _own_modules(config: SweepConfig, sweep: Path) -> list[Path]:
    """The files and folders in the current folder that the sweep's import strings name, in order of appearance.

    Raises SweepConfigError if a module is neither there nor installed.
    """
    found = []
    for key, text in (("trainable", config.trainable), ("search.sampler", config.search.sampler)):
        module = top_module(text or "")
        if ":" not in (text or "") or module in PACKAGES:
            continue
        here = PathFinder.find_spec(module, [str(Path.cwd())])
        path = source_path(here) if here else None
        if path is not None:
            found.append(path)
        elif find_spec(module) is None:
            raise SweepConfigError(f"{sweep}: {key}: {text}: no module {module} in the current folder {Path.cwd()}")
    return list(dict.fromkeys(found))


def _quoted(path: str) -> str:
    """For a shell, which expands `~/` at the beginning."""
    return f"~/{shlex.quote(path[2:])}" if path.startswith("~/") else shlex.quote(path)


def _version() -> str:
    try:
        return version("voxtune")
    except PackageNotFoundError:
        return "unknown"
