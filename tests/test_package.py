"""What is installed from the wheel: every file of the four packages, and nothing else."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml
from make_sweep import TOY_SWEEP

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[1]
WRITE_A_PAGE = """
from datetime import datetime
from tuner.html_page import to_html
print(to_html("Sweep", [], {}, about="nothing", written=datetime.now()))
"""
PACKAGES = ("tuner", "trainables", "search_spaces", "cluster")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the wheel and of the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, REPOSITORY]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (wheel,) = built.glob("*.whl")
    return wheel


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    there = {
        path.relative_to(REPOSITORY).as_posix()
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (about,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
        entry_points = archive.read(f"{about}/entry_points.txt").decode()
    assert {name for name in names if not name.startswith(about)} == there
    assert f"{about}/licenses/LICENSE" in names
    assert "voxtune = tuner.cli:main" in entry_points


def test_the_source_distribution_can_be_built_and_tested(built: Path) -> None:
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "constraints.txt", "Makefile", "README.md", "LICENSE", "CHANGELOG.md"} <= names
    assert {
        "tuner/page_assets/page.html",
        "tests/conftest.py",
        "docs/index.md",
        "benchmarks/chaos.py",
        ".ci/services",
    } <= names
    assert not [name for name in names if name.startswith((".git/", ".venv", "benchmarks/results", "runs"))]


def test_the_wheel_alone_is_enough(wheel: Path, tmp_path: Path) -> None:
    """Of its files that are no code: a preset, a template and the page of a report are found."""
    alone = tmp_path / "alone"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", alone, wheel]
    subprocess.run(install, check=True)
    environment = {**os.environ, "PYTHONPATH": str(alone)}

    def run(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-P", *command], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def voxtune(*arguments: str) -> str:
        return run("-m", "tuner.cli", *arguments)

    assert run("-c", "import tuner; print(tuner.__path__[0])").strip() == str(alone / "tuner")
    assert voxtune("--version").split()[1] == wheel.name.split("-")[1]
    voxtune("phantom", "heart", "--cases", "4", "--size", "0.4")
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(TOY_SWEEP))
    machines = ("--head", "10.0.0.1", "--worker", "10.0.0.2", "--ssh-user", "voxtune")
    assert "ray start" in voxtune("cluster", "onprem", "sweep.yaml", *machines)
    run("-c", "from search_spaces.presets import load_preset; load_preset('heart')")
    assert "<html" in run("-c", WRITE_A_PAGE)
