"""benchmarks/step.py on a processor and tiny cells: every side trains, and what does not fit says so."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import step

CPU = torch.device("cpu")


@pytest.mark.slow
def test_a_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "SECONDS", 0.01)
    monkeypatch.setattr(step, "ROUNDS", 2)
    monkeypatch.setitem(step.NETWORKS, "tiny", {"network": "compact_unet", "width": 4, "levels": 3})

    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    volumes = step.write_volumes(tmp_path, side=24)
    monkeypatch.setattr(step, "COMPILER", "eager")
    cell = step.compare(volumes, "tiny", 16, 2, CPU, 1e11, compiled=True)
    assert set(cell["step_seconds"]) == {"ours", "plain", "fp32", "monai", "compiled"}
    assert set(cell["speed_of_ours"]) == {"plain", "fp32", "monai", "compiled"}
    assert f"its first step: {cell['first_step_seconds']['compiled']:.1f} s" in step.line(cell)
    assert all(len(times) == 2 for times in cell["each"].values())
    assert cell["patches_per_second"]["ours"] == pytest.approx(2 / cell["step_seconds"]["ours"])
    assert 0 < cell["share_of_peak"]["ours"] < 1
    assert cell["formats"]["precision"] == "fp32"
    assert cell["failures"] == {}

    monkeypatch.setattr(step, "monai", full)
    cell = step.compare(volumes, "tiny", 16, 2, CPU, 1e11)
    assert cell["failures"] == {"monai": "out of memory"}
    assert "monai: out of memory" in step.line(cell)


def test_the_cells_of_the_targets_come_first() -> None:
    assert step.CELLS[:3] == (("unet3d", 128, 2), ("monai unet 16-256", 128, 2), ("monai unet 16-256", 96, 2))
    assert len(set(step.CELLS)) == len(step.CELLS)
    assert {network for network, _, _ in step.CELLS} == set(step.NETWORKS)


def test_the_peak_is_of_a_real_product() -> None:
    assert 1e8 < step.measured_peak(CPU, 256) < 1e13
