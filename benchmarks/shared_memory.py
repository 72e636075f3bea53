"""How much memory do more trials on a node take? Volumes that voxtune maps, beside a CacheDataset in each process.

    python benchmarks/shared_memory.py

Up to eight trials live at the same time, each in a Ray actor: a training run on a data set whose preprocessed volumes
take 1 GiB, phantom hearts over and over. Each has trained on a patch of every case and has then read every case whole.
Measured is the sum of their proportional set sizes, in which a page that n processes map counts 1/n in each.

A process takes memory of its own too, for Python, torch and the network. How much it is shows on a data set of a few
cases, in as many trials: `net` is the difference. Stock keeps images and labels in float32, as MONAI reads them. Trials
that would take more than --limit-gib, as those before them let expect, are not begun.

Prints a table; writes benchmarks/results/shared_memory-DATE.json. About 5 minutes and 12 GiB.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import ray

from trainables.phantom import write_phantom
from trainables.volume_store import VolumeWriter
from trainables.volumes import Volume, Volumes
from tuner.config_data import DatasetConfig, PreprocessingConfig
from tuner.environment import describe_environment
from tuner.preparation import Prepared, prepare

RESULTS = Path(__file__).parent / "results"
TRIALS = (1, 2, 4, 8)
DISTINCT_CASES = 2
VALIDATION = "validation"
PATCH_SIZE, BATCH_SIZE = (24, 40, 24), 2
PAGE = 4096
MIB = 2**20


class OursTrial:
    """A trial of voxtune's on the volumes in a folder."""

    def __init__(self, folder: Path) -> None:
        from trainables.protocol import Budget
        from trainables.segmentation import SegmentationRun

        self._volumes = Volumes(folder)
        self._names = [name for name in self._volumes.names if name != VALIDATION]
        self._steps = -(-len(self._names) // BATCH_SIZE)
        self._run = SegmentationRun(
            {"patch_size": list(PATCH_SIZE), "batch_size": BATCH_SIZE, "tilt": 0.0, "zoom": 0.0},
            data={"volumes": folder, "train": self._names, "validation": [VALIDATION], "threads": 1},
            budget=Budget(unit="steps", maximum=self._steps),
            seed=0,
            device="cpu",
        )

    def touch(self) -> int:
        """Train on a patch of every case, then read every case whole. Returns the process's id."""
        self._run.advance(self._steps)
        for name in self._names:
            volume = self._volumes[name]
            for array in (volume.image, volume.label):
                array.reshape(-1).view(np.uint8)[::PAGE].max()
        return os.getpid()


class StockTrial:
    """A trial of the stock program `benchmarks/stock/tutorial.py`, without its lists of voxels to crop at."""

    def __init__(self, cases: Sequence[Mapping[str, str]], folder: Path) -> None:
        import torch
        from monai.data import CacheDataset, set_track_meta
        from stock import tutorial
        from stock.events import TrialLog

        torch.set_num_threads(1)
        settings = tutorial.Settings(cases, (), 2, 1, 0, folder / "events.jsonl")
        config = {"patch_size": tutorial.PATCH_SIZES.index(PATCH_SIZE), "batch_size": BATCH_SIZE, "learning_rate": 1e-3}
        self._training = tutorial.Training(config, settings)
        transform = tutorial.Compose([tutorial.once(), tutorial.each_time(PATCH_SIZE)]).flatten()
        self._cached = CacheDataset(cases, transform, copy_cache=False, progress=False)
        self._batches = tutorial.train_loader(self._cached, BATCH_SIZE)
        self._log = TrialLog(settings.log, "memory")
        set_track_meta(False)

    def touch(self) -> int:
        """Train on a patch of every case. Returns the process's id."""
        self._training.train_epoch(self._batches, self._log)
        return os.getpid()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-gib", type=float, default=1.0)
    parser.add_argument("--limit-gib", type=float, default=12.0)
    parser.add_argument("--quick", action="store_true", help="1 and 2 trials on little data: shows that all works")
    given = parser.parse_args()
    counts = TRIALS[:2] if given.quick else TRIALS
    data = (0.05 if given.quick else given.data_gib) * 2**30
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)  # for Ray's workers
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared, files = phantom(folder)
        case_bytes = sum(size_of(prepared.volumes[case]) for case in prepared.volumes.names) / DISTINCT_CASES
        cases = round(data / case_bytes)
        volumes = {"all": repeated(prepared, folder / "all", cases), "few": repeated(prepared, folder / "few", 2)}
        data_mib = (volumes["all"] / "volumes.bin").stat().st_size / MIB
        lists = {"all": list(islice(cycle(files), cases)), "few": files[:2]}
        ray.init(num_cpus=max(counts), include_dashboard=False, log_to_driver=False, object_store_memory=100 * MIB)
        found: dict[str, dict[int, dict[str, float]]] = {}
        limit_mib = given.limit_gib * 1024
        for side, start in (("ours", start_ours), ("stock", start_stock)):
            few, every = (
                summed_memory(start, volumes[which], lists[which], folder, counts, limit_mib=limit_mib)
                for which in ("few", "all")
            )
            found[side] = {n: {"summed_mib": every[n], "net_mib": every[n] - few[n]} for n in every}
            print(f"{side}: {found[side]}", flush=True)
        ray.shutdown()
    grows = {side: growth(by_count, data_mib) for side, by_count in found.items()}
    print(table(found, grows, data_mib, counts))
    if not given.quick:
        write(found, grows, data_mib=data_mib, cases=cases, given=given)


def phantom(folder: Path) -> tuple[Prepared, list[dict[str, str]]]:
    """Some phantom hearts, preprocessed by voxtune; and as files for MONAI, uncompressed, which are read faster."""
    dataset = write_phantom(folder / "phantom", task="heart", cases=DISTINCT_CASES, size=2.3)
    prepared = prepare(
        DatasetConfig(path=dataset, folds=2),
        PreprocessingConfig(),
        cache=folder / "cache",
    )
    files = []
    for case in prepared.dataset.cases:
        pair = {"image": case.image.files[0], "label": case.label}
        files.append({key: str(folder / f"{case.name}_{key}.nii") for key in pair})
        for key, path in pair.items():
            image: Any = nib.load(path)
            nib.save(image, files[-1][key])
    return prepared, files


def repeated(prepared: Prepared, folder: Path, cases: int) -> Path:
    """A folder of volumes in voxtune's format: the phantoms over and over, and a corner of one to validate on."""
    known = prepared.volumes
    folder.mkdir()
    with VolumeWriter(folder) as writer:
        for number, name in enumerate(islice(cycle(known.names), cases)):
            writer.add(f"case_{number:04d}", known[name])
        volume = known[known.names[0]]
        writer.add(VALIDATION, Volume(volume.image[:, :32, :32, :32], volume.label[:32, :32, :32], volume.foreground))
        writer.finish(plan=known.plan, targets=known.targets, modalities=known.modalities)
    return folder


def size_of(volume: Volume) -> int:
    return volume.image.nbytes + volume.label.nbytes + sum(sample.nbytes for sample in volume.foreground)


def start_ours(volumes: Path, files: Sequence[Mapping[str, str]], folder: Path) -> Any:
    return ray.remote(num_cpus=1)(OursTrial).remote(volumes)


def start_stock(volumes: Path, files: Sequence[Mapping[str, str]], folder: Path) -> Any:
    return ray.remote(num_cpus=1)(StockTrial).remote(files, folder)


def summed_memory(
    start: Callable[..., Any],
    volumes: Path,
    files: Sequence[Mapping[str, str]],
    folder: Path,
    counts: Sequence[int],
    *,
    limit_mib: float,
) -> dict[int, float]:
    """The proportional set sizes, summed over so many trials at once, in MiB; of so many as fit in the limit."""
    trials: list[Any] = []
    pids: list[int] = []
    found: dict[int, float] = {}
    for count in counts:
        if trials and found[len(trials)] / len(trials) * count > limit_mib:
            break
        more = [start(volumes, files, folder) for _ in range(count - len(trials))]
        trials += more
        pids += ray.get([trial.touch.remote() for trial in more])
        found[count] = sum(map(proportional_set_size, pids))
    for trial in trials:
        ray.kill(trial)
    return found


def proportional_set_size(pid: int) -> float:
    """MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def growth(by_count: Mapping[int, Mapping[str, float]], data_mib: float) -> dict[str, float]:
    """What each further trial adds between the fewest and the most, as a share of the data."""
    few, many = min(by_count), max(by_count)
    if few == many:
        return {}
    return {key: (by_count[many][key] - by_count[few][key]) / (many - few) / data_mib for key in by_count[few]}


def table(
    found: Mapping[str, Mapping[int, Mapping[str, float]]],
    grows: Mapping[str, Mapping[str, float]],
    data_mib: float,
    counts: Sequence[int],
) -> str:
    columns = [(side, key) for side in found for key in ("summed_mib", "net_mib")]
    lines = [
        f"{data_mib:.0f} MiB of volumes; summed proportional set size of the trials, MiB",
        "| trials at once | ours | ours, net | stock | stock, net |",
        "| --- | --- | --- | --- | --- |",
    ]
    for count in counts:
        cells = [f"{found[side][count][key]:.0f}" if count in found[side] else "too large" for side, key in columns]
        lines.append(f"| {count} | {' | '.join(cells)} |")
    shares = [f"{100 * grows[side][key]:.1f} %" if grows[side] else "" for side, key in columns]
    lines.append(f"| a further trial, of the data (target: < 5 %) | {' | '.join(shares)} |")
    return "\n".join(lines)


def write(found: Any, grows: Any, *, data_mib: float, cases: int, given: argparse.Namespace) -> None:
    command = f"python benchmarks/shared_memory.py --data-gib {given.data_gib:g} --limit-gib {given.limit_gib:g}"
    content = {
        "data_mib": data_mib,
        "cases": cases,
        "summed": found,
        "growth_a_trial_of_the_data": grows,
        "environment": {**describe_environment(), "command": command},
    }
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"shared_memory-{date.today()}.json"
    file.write_text(json.dumps(content, indent=1) + "\n")
    print(f"written: {file}")


if __name__ == "__main__":
    main()
