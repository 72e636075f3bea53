"""A Python that has every library of this one, and not voxtune."""

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

OURS = ("tuner", "trainables", "cluster", "search_spaces")


def python_without_voxtune(folder: Path) -> Path:
    """Make a virtual environment in `folder` and return its interpreter.

    It sees this interpreter's libraries through links, those of voxtune and all `*.pth` (editable installs) left out.
    Raises AssertionError where a package of ours can be imported there all the same.
    """
    venv.create(folder, symlinks=True, with_pip=False)
    python = folder / "bin" / "python"
    there = Path(_answer(python, "import sysconfig; print(sysconfig.get_path('purelib'))"))
    for here in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(here).iterdir():
            if entry.name not in OURS and "voxtune" not in entry.name and entry.suffix != ".pth":
                (there / entry.name).symlink_to(entry)
    found = _answer(
        python,
        f"from importlib import metadata, util; print([name for name in {OURS} if util.find_spec(name)], "
        "[d.name for d in metadata.distributions() if d.name == 'voxtune'])",
    )
    assert found == "[] []", f"voxtune is there: {found}"
    return python


def run_alone(python: Path, *arguments: str, cwd: Path, threads: int = 1) -> subprocess.CompletedProcess[str]:
    """Run `python` with `arguments` in `cwd`, without what this process's environment adds to its path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = {**kept, "PYTHONNOUSERSITE": "1", "OMP_NUM_THREADS": str(threads)}
    return subprocess.run([str(python), *arguments], cwd=cwd, env=environment, capture_output=True, text=True)


def _answer(python: Path, code: str) -> str:
    ended = run_alone(python, "-c", code, cwd=python.parent)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()
