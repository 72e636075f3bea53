"""How near `trainables.memory` comes to the memory that a training really takes, over 30 configurations.

    python benchmarks/memory_estimate.py            # on the GPU if torch sees one, else on the CPU
    python benchmarks/memory_estimate.py --fit      # the configurations that WORKSPACES was fitted on: others
    python benchmarks/memory_estimate.py --again benchmarks/results/FILE    # go on, or estimate anew what FILE measured

Each configuration is trained for two steps and evaluated once on made-up volumes, by SegmentationRun in a process of
its own, one after another. On a GPU its peak is what torch allocated at most, plus the context; on a CPU the most that
was resident of the process (VmHWM), libraries included. Prints a table and writes
benchmarks/results/memory_estimate-DEVICE-DATE.json. Only the constants of a device's Workspace are fitted; all the rest
of an estimate is computed before the process begins.
"""

import argparse
import importlib
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
from memory_configs import CPU_FIT, CPU_TABLE, GPU_FIT, GPU_TABLE, settings

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
MEASURED = {
    "cuda": "torch.cuda.max_memory_allocated and the context, of a fresh process",
    "cpu": "VmHWM (the most that was resident) of a fresh process, with Ray loaded as in a trial's",
}
WITHIN = 0.15
"""The target: this near for 90 % of the configurations."""

TARGETS = Targets(names=("front", "back"), members=((1,), (2,)), regions=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="measure the configurations that constants are fitted on")
    parser.add_argument("--again", type=Path, help="a result file: take what was measured from it, estimate anew")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result file")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--volumes", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if given.measure:
        print(json.dumps(measure(json.loads(given.measure), given.volumes, device)))
        return
    environment = {**describe_environment(), "command": " ".join(["python", *sys.argv])}
    earlier = json.loads(given.again.read_text()) if given.again else {"rows": []}
    device = earlier.get("device", device)
    measured = {json.dumps(row["parameters"]): row["measured"] for row in earlier["rows"] if "measured" in row}
    configs = {("cpu", False): CPU_TABLE, ("cpu", True): CPU_FIT, ("cuda", False): GPU_TABLE, ("cuda", True): GPU_FIT}
    kind = "fit-" if given.fit else ""
    path = given.out / f"memory_estimate-{kind}{device}-{date.today().isoformat()}.json"
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for parameters in map(settings, configs[device, given.fit]):
            rows.append(compare(parameters, Path(folder), device, measured.get(json.dumps(parameters))))
            print(line(rows[-1]), flush=True)
            write(path, rows, device, environment=environment, measured_in=earlier.get("measured_in", environment))
    print(summary(rows))
    if given.fit:
        print(fitted(rows, device))
    print(path)


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    errors = np.array([row["error"] for row in rows if "error" in row])
    near = int((abs(errors) <= WITHIN).sum())
    return (
        f"{near} of {len(rows)} within {WITHIN:.0%}; median error {np.median(errors):+.1%}, "
        f"worst {errors[abs(errors).argmax()]:+.1%}; the target is 90 %"
    )


def write(path: Path, rows: Sequence[Mapping[str, Any]], device: str, **environments: Mapping[str, Any]) -> None:
    """Write the rows that there are, so that `--again` can go on from them."""
    found = {
        "device": device,
        "measured": MEASURED[device],
        "within_15_percent": sum(abs(row["error"]) <= WITHIN for row in rows if "error" in row),
        "configurations": len(rows),
        "rows": rows,
        **environments,
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")


def fitted(rows: Sequence[Mapping[str, Any]], device: str) -> Workspace:
    """The Workspace that the rows speak for, with the baseline that is known, or measured as a GPU's context is."""
    samples, contexts = [], [row["measured"]["context_gib"] for row in rows if "context_gib" in row.get("measured", {})]
    baseline = float(np.median(contexts)) if contexts else WORKSPACES[device].baseline_gib
    for row in rows:
        if "measured" not in row:
            continue
        estimate = row["estimate"]
        held = estimate["peak_gib"] - estimate["baseline"] - estimate["workspace"]
        took = row["measured"].get("allocated_gib", row["measured"]["peak_gib"] - estimate["baseline"])
        samples.append(Sample(convolution=row["convolution_gib"], heap=row["heap_gib"], held=held, took=took))
    return fit(samples, baseline_gib=baseline)


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
    """Peak GiB of this process after two steps and an evaluation, with Ray and Optuna loaded as in a trial's."""
    importlib.import_module("tuner.actor")
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
