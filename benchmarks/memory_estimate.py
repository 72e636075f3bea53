"""How near `trainables.memory` comes to the memory that a training really takes, over 30 configurations.

    python benchmarks/memory_estimate.py            # on the GPU if torch sees one, else on the CPU
    python benchmarks/memory_estimate.py --fit      # the configurations that WORKSPACES was fitted on: others

Each configuration is trained for two steps and evaluated once on made-up volumes, by SegmentationRun in a process of
its own, one after another. On a GPU its peak is what torch allocated at most, plus the context; on a CPU the most that
was resident of the process (VmHWM), libraries included. Prints a table and writes
benchmarks/results/memory_estimate-DEVICE-DATE.json. Only the constants of a device's Workspace are fitted; all the rest
of an estimate is computed before the process begins.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainables.memory import estimate_memory
from trainables.memory_limit import resident_peak_gib
from trainables.normalisation import ChannelNormalisation
from trainables.preprocessing import PreprocessingPlan
from trainables.protocol import Budget
from trainables.segmentation import SegmentationRun
from trainables.targets import Targets
from trainables.volume_store import Volume, Volumes, VolumeWriter
from trainables.workspace import WORKSPACES, Sample, Workspace, fit
from tuner.environment import describe_environment

RESULTS = Path(__file__).parent / "results"
GIB = 2**30
WITHIN = 0.15
"""The target: this near for 90 % of the configurations."""

TARGETS = Targets(names=("front", "back"), members=((1,), (2,)), regions=False)
Config = tuple[str, int, int, str, int, Mapping[str, Any]]
"""Network, width, levels, patch size, batch size, other settings."""

CPU_TABLE: Sequence[Config] = (
    ("compact_unet", 8, 4, "64", 8, {}),
    ("compact_unet", 8, 4, "128", 1, {}),
    ("compact_unet", 8, 4, "96", 3, {"normalisation": "instance"}),
    ("compact_unet", 16, 4, "64", 4, {}),
    ("compact_unet", 16, 5, "96", 2, {"optimizer": "sgd"}),
    ("compact_unet", 16, 4, "128x128x64", 2, {"normalisation": "group"}),
    ("compact_unet", 24, 4, "96x96x64", 2, {"normalisation": "instance", "dropout": 0.1}),
    ("compact_unet", 16, 4, "128", 2, {}),
    ("compact_unet", 32, 4, "64", 4, {"deep_supervision": True}),
    ("compact_unet", 12, 4, "80", 6, {"loss": "dice"}),
    ("unet3d", 8, 4, "64", 2, {}),
    ("unet3d", 8, 4, "64", 4, {"normalisation": "instance"}),
    ("unet3d", 8, 4, "96", 1, {}),
    ("unet3d", 8, 4, "64", 8, {}),
    ("unet3d", 16, 4, "64", 2, {"amsgrad": True, "optimizer": "adam"}),
    ("unet3d", 16, 3, "64", 3, {"normalisation": "group"}),
    ("unet3d", 16, 4, "80x80x64", 2, {"normalisation": "none"}),
    ("unet3d", 12, 4, "96x96x64", 2, {"normalisation": "instance", "deep_supervision": True}),
    ("unet3d", 32, 4, "64", 1, {}),
    ("unet3d", 8, 4, "128", 1, {"dropout": 0.1}),
    ("residual_unet", 16, 4, "128", 2, {}),
    ("residual_unet", 16, 5, "96", 6, {"normalisation": "instance"}),
    ("residual_unet", 32, 4, "128", 1, {"normalisation": "group"}),
    ("residual_unet", 32, 4, "96", 4, {}),
    ("residual_unet", 32, 5, "128x128x96", 2, {"normalisation": "instance", "dropout": 0.1}),
    ("dynunet", 8, 4, "96", 2, {}),
    ("dynunet", 16, 4, "64", 4, {"normalisation": "instance"}),
    ("dynunet", 16, 4, "96", 2, {"deep_supervision": True}),
    ("dynunet", 16, 5, "96x96x80", 3, {"normalisation": "instance"}),
    ("dynunet", 32, 4, "64", 2, {"optimizer": "sgd"}),
)
CPU_FIT: Sequence[Config] = (
    ("compact_unet", 8, 4, "96", 2, {}),
    ("compact_unet", 16, 4, "96", 1, {}),
    ("compact_unet", 16, 4, "80", 4, {"normalisation": "instance"}),
    ("compact_unet", 32, 3, "64", 2, {}),
    ("unet3d", 16, 4, "64", 1, {}),
    ("unet3d", 8, 3, "80", 2, {"normalisation": "instance"}),
    ("residual_unet", 16, 4, "96", 4, {}),
    ("residual_unet", 32, 4, "96", 2, {"normalisation": "instance"}),
    ("dynunet", 16, 4, "80", 2, {}),
    ("dynunet", 8, 4, "64", 8, {"normalisation": "instance"}),
)
GPU_TABLE: Sequence[Config] = tuple(
    (*config, {"precision": precision})
    for precision in ("fp32", "fp16")
    for config in (
        ("compact_unet", 16, 4, "128", 2),
        ("compact_unet", 16, 5, "160", 4),
        ("compact_unet", 32, 5, "128", 8),
        ("compact_unet", 32, 5, "160", 2),
        ("compact_unet", 24, 5, "192x192x96", 3),
        ("unet3d", 32, 4, "128", 2),
        ("unet3d", 32, 4, "96", 8),
        ("unet3d", 16, 4, "128", 4),
        ("unet3d", 16, 4, "160", 2),
        ("unet3d", 32, 4, "128x128x64", 6),
        ("residual_unet", 32, 5, "128", 8),
        ("residual_unet", 32, 5, "160", 4),
        ("residual_unet", 32, 5, "192", 2),
        ("dynunet", 32, 5, "128", 4),
        ("dynunet", 32, 5, "160x160x96", 2),
    )
)
GPU_FIT: Sequence[Config] = tuple(
    (*config, {"precision": precision})
    for precision in ("fp32", "fp16")
    for config in (
        ("compact_unet", 16, 4, "96", 4),
        ("unet3d", 16, 4, "96", 2),
        ("unet3d", 32, 4, "96", 2),
        ("residual_unet", 16, 4, "128", 4),
        ("dynunet", 16, 4, "128", 2),
    )
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="measure the configurations that constants are fitted on")
    parser.add_argument("--again", type=Path, help="a result file: take what was measured from it, estimate anew")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--volumes", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if given.measure:
        print(json.dumps(measure(json.loads(given.measure), given.volumes, device)))
        return
    configs = (CPU_FIT if given.fit else CPU_TABLE) if device == "cpu" else (GPU_FIT if given.fit else GPU_TABLE)
    earlier = json.loads(given.again.read_text()) if given.again else None
    known = {json.dumps(row["parameters"]): row["measured"] for row in (earlier["rows"] if earlier else ())}
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for parameters in map(settings, configs):
            rows.append(compare(parameters, Path(folder), device, known.get(json.dumps(parameters))))
            print(line(rows[-1]), flush=True)
    errors = np.array([row["error"] for row in rows if "error" in row])
    near = int((abs(errors) <= WITHIN).sum())
    print(
        f"{near} of {len(rows)} within {WITHIN:.0%}; median error {np.median(errors):+.1%}, "
        f"worst {errors[abs(errors).argmax()]:+.1%}; the target is 90 %"
    )
    if given.fit:
        print(fitted(rows, device))
    kind = "fit-" if given.fit else ""
    found = {
        "measured": "torch.cuda.max_memory_allocated + context" if device == "cuda" else "VmHWM of a fresh process",
        "within_15_percent": near,
        "configurations": len(rows),
        "rows": rows,
        "environment": describe_environment(),
        "measured_in": earlier["measured_in"] if earlier else describe_environment(),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"memory_estimate-{kind}{device}-{date.today().isoformat()}.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(path)


def settings(config: Config) -> dict[str, Any]:
    network, width, levels, patch_size, batch_size, others = config
    return {
        "network": network,
        "width": width,
        "levels": levels,
        "patch_size": patch_size,
        "batch_size": batch_size,
        **others,
    }


def fitted(rows: Sequence[Mapping[str, Any]], device: str) -> Workspace:
    """The Workspace that the rows speak for, with the baseline that is known."""
    samples = []
    for row in rows:
        estimate = row["estimate"]
        held = estimate["peak_gib"] - estimate["baseline"] - estimate["workspace"]
        took = row["measured"]["peak_gib"] - estimate["baseline"]
        samples.append(Sample(convolution=row["convolution_gib"], heap=row["heap_gib"], held=held, took=took))
    return fit(samples, baseline_gib=WORKSPACES[device].baseline_gib)


def compare(
    parameters: dict[str, Any], folder: Path, device: str, measured: Mapping[str, float] | None
) -> dict[str, Any]:
    """One row: the estimate, what was measured, now unless it was before, and by what share the estimate is off."""
    volumes = write_volumes(folder, patch_voxels(parameters))
    estimated = partial(
        estimate_memory,
        parameters,
        spacing=volumes.plan.spacing,
        channels=volumes.channels,
        targets=volumes.targets,
        device=device,
        validation=[volumes.shapes[name] for name in volumes.names[1:]],
    )
    estimate = estimated()
    row: dict[str, Any] = {"parameters": parameters, "estimate": asdict(estimate) | {"peak_gib": estimate.peak_gib}}
    for key, unit in (("of_convolution", "convolution_gib"), ("of_heap", "heap_gib")):
        only = Workspace(**{"baseline_gib": 0.0, "of_convolution": 0.0, "of_heap": 0.0, key: 1.0})
        row[unit] = estimated(workspace=only).workspace
    if measured:
        return {**row, "measured": measured, "error": estimate.peak_gib / measured["peak_gib"] - 1}
    child = [sys.executable, __file__, "--measure", json.dumps(parameters), "--volumes", str(volumes.folder)]
    done = subprocess.run(child, capture_output=True, text=True)
    if done.returncode:
        return {**row, "failure": done.stderr.strip().splitlines()[-1]}
    measured = json.loads(done.stdout.splitlines()[-1])
    return {**row, "measured": measured, "error": estimate.peak_gib / measured["peak_gib"] - 1}


def patch_voxels(parameters: Mapping[str, Any]) -> tuple[int, int, int]:
    sizes = [int(size) for size in str(parameters["patch_size"]).split("x")]
    x, y, z = sizes * 3 if len(sizes) == 1 else sizes
    return x, y, z


def write_volumes(folder: Path, patch: tuple[int, int, int]) -> Volumes:
    """Two volumes a little larger than the patch: windows overlap, and the files' own pages are few."""
    shape = tuple(size + size // 4 for size in patch)
    path = folder / "x".join(map(str, shape))
    if not path.exists():
        path.mkdir()
        rng = np.random.default_rng(0)
        with VolumeWriter(path) as writer:
            for name in ("case_001", "case_002"):
                image = rng.normal(size=(1, *shape)).astype(np.float16)
                label = np.zeros(shape, np.uint8)
                label[: shape[0] // 3], label[shape[0] // 2 :] = 1, 2
                voxels = tuple(np.argwhere(label == t)[::997].astype(np.int32) for t in (1, 2))
                writer.add(name, Volume(image, label, voxels))
            writer.finish(
                plan=PreprocessingPlan(spacing=(1.0, 1.0, 1.0), normalisation=(ChannelNormalisation(kind="zscore"),)),
                targets=TARGETS,
                modalities=["MRI"],
            )
    return Volumes(path)


def measure(parameters: dict[str, Any], folder: Path, device: str) -> dict[str, float]:
    """Peak GiB of this process after two steps and an evaluation."""
    volumes = Volumes(folder)
    run = SegmentationRun(
        parameters,
        data={"volumes": str(folder), "train": volumes.names[:1], "validation": volumes.names[1:], "threads": 1},
        budget=Budget(unit="steps", maximum=2),
        seed=0,
        device=device,
    )
    evaluation = run.advance(2)
    found = {"training_seconds": evaluation.training_seconds, "evaluation_seconds": evaluation.evaluation_seconds}
    if device == "cpu":
        return {"peak_gib": resident_peak_gib(), **found}
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    context = total - free - torch.cuda.memory_reserved()
    allocated, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    return {
        "peak_gib": (allocated + context) / GIB,
        "allocated_gib": allocated / GIB,
        "reserved_gib": reserved / GIB,
        "context_gib": context / GIB,
        **found,
    }


def line(row: Mapping[str, Any]) -> str:
    p = row["parameters"]
    others = {k: v for k, v in p.items() if k not in ("network", "width", "levels", "patch_size", "batch_size")}
    what = f"{p['network']:14}{p['width']:3}{p['levels']:3}  {p['patch_size']:>11} x {p['batch_size']}"
    estimate = row["estimate"]
    if "failure" in row:
        return f"{what}  estimate {estimate['peak_gib']:6.2f}  failed: {row['failure']}"
    return (
        f"{what}  estimate {estimate['peak_gib']:6.2f}  measured {row['measured']['peak_gib']:6.2f} GiB "
        f"{row['error']:+7.1%}  {estimate['phase']}  {' '.join(f'{k}={v}' for k, v in others.items())}"
    )


if __name__ == "__main__":
    main()
