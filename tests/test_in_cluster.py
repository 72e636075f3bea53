"""What a job begins with: on a cluster whose Python can run voxtune, and on others."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from cluster.job_folder import fill_job_folder


def begin(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tuner.in_cluster", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def declare(folder: Path, pattern: str, line: str) -> None:
    """Change a line of what the travelling code says that it needs."""
    (file,) = folder.glob("voxtune-*.dist-info/METADATA")
    text, count = re.subn(pattern, line, file.read_text(), count=1, flags=re.MULTILINE)
    assert count == 1
    file.write_text(text)


def test_it_does_what_voxtune_does(tmp_path: Path) -> None:
    fill_job_folder(tmp_path)
    assert begin(tmp_path, "--version").stdout == f"voxtune {version('voxtune')}\n"
    assert begin(tmp_path, "run", "gone.yaml").returncode == 2
    declare(tmp_path, "^Version: .*", "Version: 9.8.7")  # that of the code that travelled, not of one installed there
    assert begin(tmp_path, "--version").stdout == "voxtune 9.8.7\n"


@pytest.mark.parametrize(
    ("pattern", "line", "reason"),
    [
        ("^Requires-Dist: monai.*", "Requires-Dist: vox-gone>=2", r"vox-gone: not installed; voxtune needs >=2; pip"),
        ("^Requires-Dist: optuna.*", "Requires-Dist: optuna>=99", r"optuna: [\d.]+; voxtune needs >=99; pip install"),
        ("^Requires-Python: .*", "Requires-Python: >=99", r"Python: 3\.[\d.]+; voxtune needs >=99; make the virtual"),
    ],
)
def test_a_cluster_that_lacks_something_says_what(tmp_path: Path, pattern: str, line: str, reason: str) -> None:
    fill_job_folder(tmp_path)
    declare(tmp_path, pattern, line)
    ended = begin(tmp_path, "--version")
    assert (ended.returncode, ended.stdout) == (2, "")
    first, second, last = ended.stderr.splitlines()
    assert first == "error: this cluster can't run voxtune:"
    assert re.match(rf"  {reason}", second)
    assert last == f"Install what is missing on every node for the Python that Ray runs in, here {sys.executable}"


def test_a_python_that_can_not_even_tell(tmp_path: Path) -> None:
    fill_job_folder(tmp_path)
    (tmp_path / "packaging.py").write_text("raise ImportError('none here')")
    ended = begin(tmp_path, "--version")
    assert ended.returncode == 2
    assert re.search(r"\n  Python 3\.[\d.]+: none here\n", ended.stderr)
