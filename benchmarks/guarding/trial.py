"""Runs tests in a copy of the project, and reads how each ended and why."""

import os
import re
import resource
import shutil
import signal
import sys
from collections.abc import Sequence
from compileall import compile_dir
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from py_compile import PycInvalidationMode
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]

OURS = ("tuner", "trainables", "search_spaces", "cluster")

LIBRARIES = ("torch", "monai", "ray.tune", "optuna", "pandas", "plotly.graph_objects", "matplotlib.pyplot", "nibabel")

PARTS = (*OURS, "tests", "benchmarks", "pyproject.toml", "LICENSE")
"""What is copied; the results of benchmarks are not."""

PROCESSOR_SECONDS, MOST_MEMORY, LARGEST_FILE = 60, 4 * 2**30, 2**30
"""What the tests of a guard may take; bytes. Without it one may never end, or fill memory or disk."""

PATIENCE = 900
"""Seconds that a busy machine may need for them; then nothing is said of the guard."""

NO_PROOF = ("not run", "ImportError", "ModuleNotFoundError", "SyntaxError", "IndentationError", "NameError")
"""Why a test may fail that says nothing of the guard."""


@dataclass(frozen=True)
class Ran:
    """How tests ended, by pytest's ids: of each case None where it passed, else why not."""

    cases: dict[str, str | None]
    ended: str
    """Why there may be fewer cases than tests: what pytest said at last, or that it took too long."""

    def passes(self, test: str) -> bool:
        """Whether there are cases of `test`, and all of them passed."""
        found = self._of(test)
        return bool(found) and not any(found)

    def proves(self, test: str) -> bool:
        """Whether a case of `test` failed, and none for a reason that says nothing."""
        failures = [reason for reason in self._of(test) if reason]
        return bool(failures) and not any(reason.startswith(NO_PROOF) for reason in failures)

    def why(self, test: str) -> str:
        """In one line."""
        found = self._of(test)
        reasons = [reason for reason in found if reason]
        if not reasons:
            return "passes" if found else self.ended
        return reasons[0] if len(found) == 1 else f"{reasons[0]} ({len(reasons)} of {len(found)} cases)"

    def _of(self, test: str) -> list[str | None]:
        return [why for case, why in self.cases.items() if case == test or case.startswith(f"{test}[")]


def copied(root: Path, folder: Path) -> Path:
    """A copy of the project's code and tests, in which guards can be taken out."""
    tree = folder / "voxtune"
    tree.mkdir()
    left_out = shutil.ignore_patterns("__pycache__", "results")
    for part in PARTS:
        if (root / part).is_dir():
            shutil.copytree(root / part, tree / part, ignore=left_out)
        else:
            shutil.copy(root / part, tree)
    # Of compiled code it is not asked when it was compiled, which a cut may not change, but of what.
    compile_dir(tree, quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    return tree


def import_libraries() -> None:
    """Import here what takes seconds, so that each run of tests, in a fork of this process, finds it there."""
    for name in LIBRARIES:
        import_module(name)


def run_tests(tests: Sequence[str], tree: Path, *, bounded: bool) -> Ran:
    """Run tests on the code of `tree`; if `bounded`, with limits on time, memory and files."""
    told, said = tree.with_name("told.xml"), tree.with_name("said.txt")
    told.unlink(missing_ok=True)
    process = get_context("fork").Process(target=_run, args=(tests, tree, told, said, bounded))
    process.start()
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        process.join()
        return Ran({}, f"did not end within {PATIENCE} s")
    if process.exitcode == -signal.SIGXCPU:
        return Ran(dict.fromkeys(tests, f"does not end within {PROCESSOR_SECONDS} s of the processor's time"), "")
    ended = (said.read_text(errors="replace").strip().splitlines() or [f"ended with {process.exitcode}"])[-1]
    return Ran(_cases(told) if told.is_file() else {}, ended)


def _run(tests: Sequence[str], tree: Path, told: Path, said: Path, bounded: bool) -> None:
    """In the fork: as if pytest were called in `tree`, where no module of ours was imported yet."""
    with said.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update({"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"})
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # hypothesis and others, which no guard's test needs
    sys.dont_write_bytecode = True
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    sys.path[:] = [str(tree), *(path for path in sys.path if Path(path, "tuner") != ROOT / "tuner")]
    os.chdir(tree)
    if bounded:
        used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
        resource.setrlimit(resource.RLIMIT_CPU, (used + PROCESSOR_SECONDS, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    options = ["-q", "-p", "no:cacheprovider", f"--junitxml={told}", "-o", "junit_family=xunit1"]
    sys.exit(pytest.main([*options, f"--basetemp={tree.with_name('tmp')}", *tests]))


def _cases(told: Path) -> dict[str, str | None]:
    cases: dict[str, str | None] = {}
    for case in ElementTree.parse(told).iter("testcase"):
        problem = next((below for below in case if below.tag in ("failure", "error", "skipped")), None)
        why = None if problem is None else _reason(problem)
        cases[f"{case.get('file')}::{case.get('name')}"] = why
    return cases


def _reason(problem: ElementTree.Element) -> str:
    """What pytest says of a failure, in one line, without the folders of this machine."""
    said = problem.get("message", "")
    if problem.tag != "failure":
        return f"not run: {problem.tag}: {' '.join(said.split()):.100}"
    line = re.sub(r"/\S*voxtune-guards-\w+/| at 0x[0-9a-f]+", "", " ".join(said.split()))
    return line if len(line) <= 120 else f"{line[:119]}…"
