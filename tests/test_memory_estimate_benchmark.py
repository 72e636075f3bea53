"""benchmarks/memory_estimate.py, as far as it goes without training: rows from what was measured, and the fit."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from memory_configs import CPU_FIT, CPU_TABLE, GPU_FIT, GPU_TABLE, settings
from memory_estimate import compare, fitted

from trainables.segmentation_config import SegmentationConfig

SMALL = settings(("compact_unet", 4, 3, "16", 2, {"precision": "fp16"}))
GIB = 2**30


def test_tables_are_legal_balanced_and_held_out() -> None:
    for table, fit in ((CPU_TABLE, CPU_FIT), (GPU_TABLE, GPU_FIT)):
        rows = [settings(config) for config in table]
        assert len(rows) == 30
        assert len({row["network"] for row in rows}) >= 3
        assert {row.get("precision", "fp32") for row in rows} in ({"fp32", "bf16"}, {"fp32", "fp16"})
        assert not any(settings(config) in rows for config in fit)
        for row in (*rows, *map(settings, fit)):
            SegmentationConfig.from_mapping(row)


def test_a_row_of_a_gpu_is_estimated_without_one(tmp_path: Path) -> None:
    row = compare(SMALL, tmp_path, "cuda", {"peak_gib": 2.0})
    parts = row["estimate"]
    assert row["error"] == parts["peak_gib"] / 2 - 1
    assert parts["baseline"] >= 0.3  # the context
    # On its way back the largest convolution has its input, both gradients (4 channels of 2 x 16^3 voxels each, in
    # half precision), its weight and that one's gradient.
    assert row["convolution_gib"] == pytest.approx(2 * (3 * 2 * 4 * 16**3 + 2 * 4 * 4 * 27) / GIB)


def test_the_fit_finds_what_made_the_rows() -> None:
    def row(held: float, convolution: float, heap: float) -> dict[str, Any]:
        allocated = held + 0.3 * convolution + 0.1 * heap
        return {
            "estimate": {"peak_gib": held + 0.5 + 0.2, "baseline": 0.5, "workspace": 0.2},
            "measured": {"peak_gib": allocated + 0.6, "allocated_gib": allocated, "context_gib": 0.6},
            "convolution_gib": convolution,
            "heap_gib": heap,
        }

    rows = [row(1.0, 0.2, 0.3), row(2.0, 0.8, 0.2), row(3.0, 0.5, 1.0), {"failure": "out of memory"}]
    found = fitted(rows, "cuda")
    assert found.baseline_gib == 0.6
    assert found.of_convolution == pytest.approx(0.3)
    assert found.of_heap == pytest.approx(0.1)
