"""Sweeps over a space of which a third does not fit in memory: how many trials are started that run out of it.

    python benchmarks/memory_search.py                  # 60 trials, 2 workers, 3 seeds; minutes
    python benchmarks/memory_search.py --only stock     # one of the searches; goes on where --file holds others

Whole sweeps of toy runs (`trainables/toy.py`) on a real local Ray, through `run_sweep`: with the memory estimate, and
without it, where a sampler learns from failures alone. Beside them stock: Ray Tune's OptunaSearch and ASHAScheduler
with their defaults over the same space, where a trial that does not fit raises torch.OutOfMemoryError. Only the toy's
memory is pretended; searchers, schedulers and the study are the real ones. The best configuration that fits lies at the
edge of what fits, as it does where larger patches are better.

The sweeps of 2026-11-21 ran with RAY_worker_niceness=0 beside other work; Ray's own niceness of 15 starves them there.

Prints a table; writes benchmarks/results/memory_search-DATE.json after each sweep, and a page beside it.
"""

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from cluster.connect import connect
from trainables.protocol import Budget
from trainables.toy import ToyRun
from tuner.api import SweepConfig, run_sweep
from tuner.environment import describe_environment
from tuner.study import was_turned_away

RESULTS = Path(__file__).parent / "results"

LIMIT_GIB = 2.0
BATCHES, PATCHES = range(1, 9), range(64, 161, 16)
SPACE: Mapping[str, Any] = {
    "learning_rate": {"float": [1e-5, 1e-1], "log": True},
    "batch_size": {"int": [BATCHES[0], BATCHES[-1]]},
    "patch_size": {"int": [PATCHES[0], PATCHES[-1]], "step": PATCHES.step},
    "seconds_per_rung": 0.1,
}
RUNGS = (111, 333, 1000)
"""Steps of the full budget; both searches stop trials there."""

SAMPLERS = ("gp", "tpe", "optuna.samplers:GPSampler")


class StockRun(tune.Trainable):
    """The toy run as a user of Ray Tune would write it: one iteration a rung."""

    def setup(self, config: dict[str, Any]) -> None:
        self._seed = config["seed"]
        parameters = {name: config[name] for name in SPACE}
        self._run = ToyRun(
            parameters,
            data={"memory_limit_gib": LIMIT_GIB},
            budget=Budget(unit="steps", maximum=RUNGS[-1]),
            seed=self._seed,
            device="cpu",
        )

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        evaluation = self._run.advance(RUNGS[self.iteration])
        return {"dice": evaluation.score, "done": self.iteration == len(RUNGS) - 1}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return self._run.state_dict()

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        self._run.load_state_dict(checkpoint or {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--address", help="of a running Ray cluster; else each sweep starts one")
    parser.add_argument("--only", nargs="+", help="searches, by their names in the table")
    parser.add_argument("--file", type=Path, default=RESULTS / f"memory_search-{date.today().isoformat()}.json")
    given = parser.parse_args()
    names = [f"{sampler}, {how}" for sampler in SAMPLERS for how in ("estimate", "no estimate")] + ["stock"]
    unknown = set(given.only or ()) - set(names)
    if unknown:
        parser.error(f"--only: {', '.join(sorted(unknown))}; known are {'; '.join(names)}")
    share = share_that_does_not_fit()
    print(f"{share:.1%} of the space does not fit in {LIMIT_GIB:g} GiB")
    runs: list[dict[str, Any]] = json.loads(given.file.read_text())["runs"] if given.file.exists() else []
    for name in given.only or names:
        for seed in range(given.seeds):
            if any((run["search"], run["seed"]) == (name, seed) for run in runs):
                continue
            counts = one(name, seed, trials=given.trials, workers=given.workers, address=given.address)
            runs.append({"search": name, "seed": seed, **counts})
            print(runs[-1], flush=True)
            write(given.file, share, runs, names, trials=given.trials, workers=given.workers)
    print(table(runs, names))


def share_that_does_not_fit() -> float:
    """Of the space's volume: its values are whole numbers, so it is counted."""
    pairs = [{"batch_size": batch, "patch_size": patch} for batch in BATCHES for patch in PATCHES]
    needed = [ToyRun.estimate_memory(pair, data={}, device="cpu") for pair in pairs]
    return float(np.mean(np.array(needed) > LIMIT_GIB))


def one(name: str, seed: int, *, trials: int, workers: int, address: str | None) -> dict[str, Any]:
    """Counts of one sweep: trials started, those that ran out of memory, configurations turned away; and its best."""
    if name == "stock":
        return stock(seed, trials=trials, workers=workers, address=address)
    sampler, how = name.split(", ")
    return ours(sampler, seed, estimate=how == "estimate", trials=trials, workers=workers, address=address)


def ours(sampler: str, seed: int, *, estimate: bool, trials: int, workers: int, address: str | None) -> dict[str, Any]:
    config = SweepConfig.model_validate(
        {
            "name": "memory",
            "trainable": "trainables.toy:ToyRun",
            "space": SPACE,
            "budget": {"unit": "steps", "maximum": RUNGS[-1]},
            "search": {"trials": trials, "sampler": sampler, "seed": seed},
            "resources": {"trials_at_once": workers, "memory_limit_gib": LIMIT_GIB, "memory_estimate": estimate},
            "confirm": {"top": 0},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        results = run_sweep(config, runs=Path(folder), address=address)
    full = results.trials["stop_reason"] == "out of memory"
    return {
        "started": len(results.trials),
        "out_of_memory": int(full.sum()),
        "in_second_half": int(full[len(full) // 2 :].sum()),
        "turned_away": sum(was_turned_away(trial) for trial in results.sweep_trials),
        "best_dice": float(results.trials["score"].max()),
        "unfinished": int((~results.trials["state"].isin(["COMPLETE", "PRUNED"])).sum()),
    }


def stock(seed: int, *, trials: int, workers: int, address: str | None) -> dict[str, Any]:
    space = {
        "learning_rate": tune.loguniform(1e-5, 1e-1),
        "batch_size": tune.randint(BATCHES.start, BATCHES.stop),
        "patch_size": tune.qrandint(PATCHES[0], PATCHES[-1], PATCHES.step),
        "seconds_per_rung": SPACE["seconds_per_rung"],
        "seed": seed,
    }
    with tempfile.TemporaryDirectory() as folder, connect(address):
        tuner = tune.Tuner(
            tune.with_resources(StockRun, {"cpu": 1}),
            param_space=space,
            tune_config=tune.TuneConfig(
                metric="dice",
                mode="max",
                search_alg=OptunaSearch(seed=seed),
                scheduler=ASHAScheduler(max_t=len(RUNGS), grace_period=1, reduction_factor=3),
                num_samples=trials,
                max_concurrent_trials=workers,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        grid = tuner.fit()
        results = [grid[index] for index in range(len(grid))]
    failed = [result.error is not None for result in results]
    full = np.array(["OutOfMemoryError" in str(result.error) for result in results])
    return {
        "started": len(results),
        "out_of_memory": int(full.sum()),
        "in_second_half": int(full[len(full) // 2 :].sum()),
        "turned_away": 0,
        "best_dice": max((result.metrics or {}).get("dice", 0.0) for result in results),
        "unfinished": sum(failed) - int(full.sum()),
    }


def summaries(runs: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Iterator[list[str]]:
    """One row a search, over its seeds."""
    for name in names:
        of = [run for run in runs if run["search"] == name]
        if not of:
            continue
        started = sum(run["started"] for run in of)
        full = sum(run["out_of_memory"] for run in of)
        late = sum(run["in_second_half"] for run in of) / sum(run["started"] - run["started"] // 2 for run in of)
        best = [run["best_dice"] for run in of]
        yield [
            name,
            str(len(of)),
            str(started),
            f"{full} ({full / started:.1%})",
            f"{late:.1%}",
            str(sum(run["turned_away"] for run in of)),
            f"{np.mean(best):.4f}",
        ]


def table(runs: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    head = ["search", "sweeps", "started", "out of memory", "in the second half", "turned away", "best Dice, mean"]
    rows = [head, ["---"] * len(head), *summaries(runs, names)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write(
    path: Path, share: float, runs: Sequence[Mapping[str, Any]], names: Sequence[str], *, trials: int, workers: int
) -> None:
    """The runs as JSON, and the page about them."""
    environment = {**describe_environment(), "command": " ".join(["python", *map(shlex.quote, sys.argv)])}
    content = {
        "share_that_does_not_fit": share,
        "memory_limit_gib": LIMIT_GIB,
        "space": SPACE,
        "trials": trials,
        "workers": workers,
        "runs": runs,
        "environment": environment,
    }
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
    versions = ", ".join(f"{name} {version}" for name, version in environment["libraries"].items())
    path.with_suffix(".md").write_text(
        f"""# Searches where {share:.0%} of the space does not fit in memory

Sweeps of {trials} toy trials each on a local Ray with {workers} workers; memory and Dice are made up, all else is real.
A trial that needs more than {LIMIT_GIB:g} GiB ends with torch.OutOfMemoryError. "Out of memory" counts trials that were
started; configurations that the estimate turned away never were, and are no trials.

{table(runs, names)}

{environment["processor"]}, {environment["cores"]} cores; {versions}; revision {environment["revision"]}.
Last call: `{environment["command"]}`. Each sweep is in `{path.name}`.
"""
    )


if __name__ == "__main__":
    main()
