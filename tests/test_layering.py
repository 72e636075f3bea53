"""What import-linter can't say: no Ray Tune below the tuner, no heavy library at the start of the command line."""

import ast
import subprocess
import sys
from pathlib import Path

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


def test_help_loads_neither_torch_nor_ray():
    code = (
        "import sys\n"
        "sys.argv = ['voxtune', '--help']\n"
        "from tuner.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'ray', 'optuna', 'monai', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "resume" in done.stdout
