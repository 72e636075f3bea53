"""Does a trial of two workers reach the Dice of one worker with the same batch, and how much sooner?

    python benchmarks/data_parallel.py ../shared/data/Task04_Hippocampus --group '(int(number) + 1) // 2'

Trains one configuration from several seeds in each of these ways, on a CPU with gloo:

    one             one process, one thread
    one, 2 threads  one process that has the cores of two workers
    two             two processes of one thread each, half of every batch each, batch norm over both
    two, own norm   the same, batch norm over each worker's own patches

"Same Dice" means: the means over the seeds differ by no more than the larger of both spreads over the seeds.
Prints a table; writes benchmarks/results/data_parallel-DATE-CORES-cores.json, a row after each run.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
import torch.multiprocessing as processes

from trainables.protocol import Budget
from trainables.segmentation import SegmentationRun
from trainables.workers import Workers, free_address, leave, meet
from tuner.config import DatasetConfig, PreprocessingConfig, cache_folder
from tuner.environment import describe_environment
from tuner.machine import usable_cores
from tuner.preparation import prepare

RESULTS = Path(__file__).parent / "results"
PARAMETERS = {"patch_size": [32, 48, 32], "batch_size": 4, "precision": "fp32", "learning_rate": 6e-3}
WAYS: Mapping[str, Mapping[str, Any]] = {
    "one": {"workers": 1, "threads": 1},
    "one, 2 threads": {"workers": 1, "threads": 2},
    "two": {"workers": 2, "threads": 1},
    "two, own norm": {"workers": 2, "threads": 1, "parameters": {"shared_normalisation": False}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--group")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    prepared = prepare(
        DatasetConfig(path=given.dataset.absolute(), group=given.group),
        PreprocessingConfig(),
        cache=cache_folder(None),
    )
    data = prepared.training_data()
    environment = describe_environment()
    file = RESULTS / f"data_parallel-{date.today()}-{usable_cores()}-cores.json"
    rows: list[dict[str, Any]] = []
    for seed in range(given.seeds):
        for way, how in WAYS.items():
            rows.append({"way": way, "seed": seed, **_train(data, how, steps=given.steps, seed=seed)})
            print(
                f"{way:15} seed {seed}  Dice {rows[-1]['dice']:.4f}  {rows[-1]['training_seconds']:.1f} s", flush=True
            )
            content = {"dataset": given.dataset.name, "parameters": PARAMETERS, "steps": given.steps, "rows": rows}
            file.write_text(json.dumps({**content, "environment": environment}, indent=1))
    _print(rows)
    print(f"written: {file}")


def _train(data: Mapping[str, Any], how: Mapping[str, Any], *, steps: int, seed: int) -> dict[str, float]:
    """One run in processes of its own, as a trial has them."""
    count = how["workers"]
    address = free_address("127.0.0.1")
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        processes.spawn(_worker, args=(count, address, dict(data), dict(how), steps, seed, answer), nprocs=count)
        found: dict[str, float] = json.loads(answer.read_text())
        return found


def _worker(
    rank: int, count: int, address: str, data: dict[str, Any], how: dict[str, Any], steps: int, seed: int, answer: Path
) -> None:
    torch.set_num_threads(how["threads"])
    if count > 1:
        meet(Workers(rank=rank, count=count), address=address, device="cpu")
    run = SegmentationRun(
        {**PARAMETERS, **how.get("parameters", {})},
        data={**data, "threads": how["threads"], "workers": {"rank": rank, "count": count}},
        budget=Budget(unit="steps", maximum=steps),
        seed=seed,
        device="cpu",
    )
    found = run.advance(steps)
    if rank == 0:
        times = {"training_seconds": found.training_seconds, "evaluation_seconds": found.evaluation_seconds}
        answer.write_text(json.dumps({"dice": found.score, **times}))
    leave()


def _print(rows: list[dict[str, Any]]) -> None:
    """Each way's Dice beside one worker's, and its speed."""
    of = {way: [row for row in rows if row["way"] == way] for way in WAYS}
    dice = {way: [row["dice"] for row in found] for way, found in of.items()}
    seconds = {way: median(row["training_seconds"] for row in found) for way, found in of.items()}
    print(f"\n{'':15} {'Dice':>7} {'from':>7} {'to':>7}  same  speed-up")
    for way in WAYS:
        low, high, middle = min(dice[way]), max(dice[way]), mean(dice[way])
        spread = max(high - low, max(dice["one"]) - min(dice["one"]))
        same = "yes" if abs(middle - mean(dice["one"])) <= spread else "NO"
        print(f"{way:15} {middle:7.4f} {low:7.4f} {high:7.4f}  {same:>4}  {seconds['one'] / seconds[way]:8.2f}")


if __name__ == "__main__":
    main()
