"""What import-linter can't say: no Ray Tune below the tuner, no heavy library at the start of the command line."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "ray", "optuna", "monai", "pandas", "plotly", "matplotlib"}

ROOT = Path(__file__).resolve().parents[1]


def imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_cluster_does_not_know_ray_tune():
    files = list((ROOT / "cluster").rglob("*.py"))
    assert files
    for file in files:
        assert not {name for name in imported(file) if name.startswith("ray.tune")}, file


def test_slot_loads_torch_only_for_a_trainable_that_does():
    code = "import sys, tuner.actor, trainables.toy; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_trial_loads_no_library_that_only_preparation_and_other_networks_use():
    heavy = {"scipy.ndimage", "scipy.optimize", "monai", "pandas"}
    code = f"import sys, trainables.segmentation; loaded = {heavy} & set(sys.modules); assert not loaded, loaded"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "heavy", "said"),
    [
        (["--help"], HEAVY, "resume"),
        (["run", "--help"], HEAVY, "--trials"),
        (["run", "none.yaml"], HEAVY - {"torch"}, "none.yaml"),
        (["phantom", "heart", "--cases", "1", "--size", "0.25"], HEAVY, "Wrote 1 case to heart"),
        (["download", "--help"], HEAVY, "Task09_Spleen"),
    ],
)
def test_commands_load_no_more_than_they_need(tmp_path: Path, arguments: list[str], heavy: set[str], said: str) -> None:
    code = (
        "import sys\n"
        f"sys.argv = {['voxtune', *arguments]}\n"
        "from tuner.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"heavy = {heavy} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout + done.stderr
