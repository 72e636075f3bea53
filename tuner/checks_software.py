"""What a sweep needs of the software: versions, modules that nothing hides, a Ray that starts and obeys its user."""

import os
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from platform import python_version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from cluster.connect import connect
from cluster.shadowing import OURS, hiding
from trainables.known_faults import convolution_fault
from tuner import machine
from tuner.check import Check, note, ok, problem
from tuner.quiet import library_messages

RAY_PATIENCE = 60
"""Seconds that a worker may take to answer."""


def check_python() -> Check:
    """Whether voxtune supports this Python."""
    needed, _ = _declared()
    if needed.contains(python_version(), prereleases=True):
        return ok("Python", python_version())
    return problem(
        "Python", f"{python_version()}; voxtune needs {needed}", "make the virtual environment with another Python"
    )


def check_libraries() -> Iterator[Check]:
    """Whether libraries are in the ranges that voxtune declares: one check in all, or one for each that is not."""
    _, declared = _declared()
    needed = [item for item in declared if item.marker is None or item.marker.evaluate({"extra": ""})]
    if not needed:
        yield note(
            "libraries",
            "unknown: voxtune is used from a folder, not installed",
            "install it (pip install -e FOLDER) to have its libraries checked",
        )
        return
    installed = {item.name: _installed(item.name) for item in needed}
    wrong = [item for item in needed if not _fits(installed[item.name], item)]
    for item in wrong:
        yield problem(
            item.name,
            f"{installed[item.name] or 'not installed'}; voxtune needs {item.specifier}",
            f'pip install "{item.name}{item.specifier}" -c constraints.txt',
        )
    if not wrong:
        yield ok("libraries", ", ".join(f"{name} {version}" for name, version in installed.items()))


def check_convolutions() -> Check:
    """Whether 3D convolutions in half precision are known to be wrong or slow in these versions of torch and cuDNN."""
    name, build = "3D convolutions", machine.torch_build()
    if build.cudnn is None:
        return ok(name, f"torch {build.version}, without CUDA")
    found = f"torch {build.version}, cuDNN {'.'.join(map(str, build.cudnn))}"
    if fault := convolution_fault(build.version, build.cudnn):
        return problem(name, f"{found}: {fault}", "install torch 2.10 or later")
    return ok(name, found)


def check_shadowing(folder: Path) -> Check:
    """Whether `folder`, which Ray puts on its workers' path, holds modules with the names of ours."""
    files = hiding(folder)
    if not files:
        return ok("current folder", f"{folder} hides none of voxtune's packages")
    return problem(
        "current folder",
        f"hides voxtune's own modules from Ray's workers: {', '.join(files)}",
        "run sweeps from another folder, or give these another name",
    )


def check_token() -> Check:
    """Whether Ray asks for a token that only this user has: it runs whatever program it is sent."""
    name, mode = "Ray's token", os.environ.get("RAY_AUTH_MODE")
    if mode is not None and mode.lower() != "token":
        found = f"RAY_AUTH_MODE is {mode}: whoever reaches Ray's ports can run programs as you"
        return problem(name, found, "unset RAY_AUTH_MODE, or set it to token")
    if os.environ.get("RAY_AUTH_TOKEN"):
        return ok(name, "taken from RAY_AUTH_TOKEN")
    token = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if token.is_file():
        if not _others_can_read(token):
            return ok(name, str(token))
        found = f"{token} can be read by other users, who can run programs as you while Ray runs"
        return note(name, found, f"chmod 600 {token}")
    reason = machine.why_not_writable(token.parent)
    if reason is None:
        return ok(name, f"none yet; Ray will write {token}")
    found = f"{token}: Ray can't write it: {reason}"
    return problem(name, found, "set RAY_AUTH_TOKEN_PATH to a file that you can write")


def check_ray() -> Check:
    """Start Ray on this machine, let a worker import voxtune, and end it."""
    begin = time.monotonic()
    try:
        with library_messages(None, verbose=False), connect(cores=machine.usable_cores()) as cluster:
            import ray

            seconds = time.monotonic() - begin
            place = ray.get(ray.remote(_imported_from).remote(), timeout=RAY_PATIENCE)
    except Exception as error:  # whatever goes wrong is what was found
        found = f"does not work here: {type(error).__name__}: {error}"
        return problem("Ray", found, "look into session_latest/logs of Ray's folder, /tmp/ray")
    if Path(place) != Path(__file__):
        return problem("Ray", f"its workers import another voxtune: {place}", f"they should find that of {OURS}")
    (node,) = cluster.nodes
    have = f"{node.cpus:g} CPU" + (f" and {node.gpus:g} GPU" if node.gpus else "")
    return ok("Ray", f"started in {seconds:.1f} s with {have}; a worker imported voxtune")


def _imported_from() -> str:
    return __file__


def _declared() -> tuple[SpecifierSet, list[Requirement]]:
    """The Python versions and libraries that voxtune's package declares; anything where it is not installed."""
    try:
        package = metadata.distribution("voxtune")
    except metadata.PackageNotFoundError:
        return SpecifierSet(), []
    return SpecifierSet(package.metadata["Requires-Python"] or ""), [
        Requirement(line) for line in package.requires or []
    ]


def _installed(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def _fits(version: str | None, needed: Requirement) -> bool:
    # Pre-releases count: a nightly build of torch is newer than what is asked for.
    return version is not None and needed.specifier.contains(version, prereleases=True)


def _others_can_read(file: Path) -> bool:
    """Whether the file's mode lets the group or all others read it, and its folders let them get there."""
    return any(
        file.stat().st_mode & 0o4 << who
        and all(folder.stat().st_mode & 0o1 << who for folder in file.absolute().parents)
        for who in (3, 0)
    )
