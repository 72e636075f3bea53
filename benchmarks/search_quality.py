"""How good is the search? Regret over time on LCBench learning curves, ours beside its rivals, on a virtual clock.

    python benchmarks/search_quality.py run FOLDER --seeds 10
    python benchmarks/search_quality.py table FOLDER

`run` appends one JSON line a search to FOLDER and skips the searches that are already there, so it can be cut short and
taken up again, or started several times with different `--methods`. `table` prints the comparison and writes
benchmarks/results/search_quality-DATE.json. Needs `voxtune[benchmarks]` and the surrogate (VOXTUNE_DATA or
../shared/data). The rival TuneBOHB needs `voxtune[bohb]` as well; leave it out with `--methods`.

Each search lasts four mean full trainings. Regret at a moment is the best validation accuracy known of a task (by any
search here, or 2,000 random configurations) less the best that the search has reported by then, at any budget.
"""

import argparse
import json
import os
import time
import warnings
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import optuna
import scipy.special
from optuna.samplers._tpe import _truncnorm
from virtual.clock import simulate
from virtual.lcbench import Task, development_tasks
from virtual.regret import Search, best_scores, compare, final_regret, mean_regret
from virtual.rivals import METHODS

from tuner.environment import describe_environment

FULL_TRAININGS = 4
RESULTS = Path(__file__).parent / "results"

EXPLORED = ("3945", "126025", "146212", "167161", "189905", "168329")
"""The tasks that settings were chosen on."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("folder", type=Path)
    run.add_argument("--seeds", type=int, default=10)
    run.add_argument("--workers", type=int, nargs="+", default=[8, 32, 1])
    run.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    run.add_argument("--tasks", nargs="+", help="by default all 17 development tasks")
    table = commands.add_parser("table")
    table.add_argument("folder", type=Path)
    given = parser.parse_args()
    if given.command == "table":
        tabulate(given.folder)
        return
    quieten()
    tasks = [task for task in development_tasks() if given.tasks is None or task.name in given.tasks]
    given.folder.mkdir(parents=True, exist_ok=True)
    file = given.folder / f"searches-{os.getpid()}.jsonl"  # a file a process: lines never mix
    for seed in range(given.seeds):
        for workers in given.workers:
            for task in tasks:
                done = known(given.folder)
                for name in given.methods:
                    if (task.name, seed, workers, name) not in done:
                        search(task, seed=seed, workers=workers, name=name, file=file)


def search(task: Task, *, seed: int, workers: int, name: str, file: Path) -> None:
    began = time.perf_counter()
    seconds = FULL_TRAININGS * task.mean_seconds
    history = simulate(METHODS[name](task, seed, workers), workers=workers, seconds=seconds)
    line = {
        "task": task.name,
        "seed": seed,
        "workers": workers,
        "method": name,
        "seconds": seconds,
        "random_best": task.best_score,
        "trials": history.trials,
        "full": history.full,
        "improvements": history.improvements,
        "real_seconds": round(time.perf_counter() - began, 2),
    }
    with file.open("a") as lines:
        lines.write(json.dumps(line) + "\n")


def read(folder: Path) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for file in sorted(folder.glob("searches-*.jsonl")):
        for text in file.read_text().splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:  # the end of a killed process's file: that search is done again
                continue
    return lines


def known(folder: Path) -> set[tuple[str, int, int, str]]:
    return {(line["task"], line["seed"], line["workers"], line["method"]) for line in read(folder)}


def tabulate(folder: Path) -> None:
    searches = [as_search(line) for line in read(folder)]
    best = best_scores(searches)
    rows = comparison(searches, best)
    held_out = comparison([search for search in searches if search.task not in EXPLORED], best)
    print("All tasks")
    show(rows)
    print("The tasks that no setting was chosen on")
    show(held_out)
    print(
        "ratio: ours' time to the method's final regret over that method's own; whole: over its whole search\n"
        "never: tasks where ours does not get there (counted as twice the search); behind: tasks where ours ends worse"
    )
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"search_quality-{date.today()}.json"
    # Without the folder: a result names no path of the machine it comes from.
    environment = {**describe_environment(), "command": ["search_quality.py", "table", "FOLDER"]}
    found = {
        "environment": environment,
        "comparison": rows,
        "comparison, tasks not explored on": held_out,
        "curves": curves(searches, best),
    }
    file.write_text(json.dumps(found, indent=1) + "\n")
    print(file)


def comparison(searches: list[Search], best: dict[str, float]) -> list[dict[str, Any]]:
    """A row for each number of workers and method: how ours compares, on the tasks and seeds that both have."""
    groups = by_method(searches)
    ours = {workers: by_task for workers, method, by_task in groups if method == "ours"}
    rows = []
    for workers, name, theirs_on in groups:
        ours_on = ours.get(workers, {})
        pairs = [(*same_seeds(ours_on[task], theirs_on[task]), best[task]) for task in theirs_on if task in ours_on]
        pairs = [pair for pair in pairs if pair[0]]
        if pairs:
            rows.append(
                {
                    "workers": workers,
                    "method": name,
                    "tasks": len(pairs),
                    "searches": sum(len(theirs) for _, theirs, _ in pairs),
                    "final regret": round(final_regret((theirs, level) for _, theirs, level in pairs), 3),
                    "ours' final regret": round(final_regret((own, level) for own, _, level in pairs), 3),
                    **{name: round(value, 3) for name, value in asdict(compare(pairs)).items() if name != "tasks"},
                }
            )
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    head = f"{'workers':>7}  {'method':24}{'tasks':>6}{'searches':>9}{'regret':>8}{'ours':>8}"
    print(f"{head}{'ratio':>8}{'whole':>8}{'never':>6}{'behind':>7}")
    for row in rows:
        workers, method, *numbers = row.values()
        texts = [f"{number:>{width}}" for number, width in zip(numbers, (6, 9, 8, 8, 8, 8, 6, 7), strict=True)]
        print(f"{workers:>7}  {method:24}" + "".join(texts))


def curves(searches: list[Search], best: dict[str, float]) -> list[dict[str, Any]]:
    """Mean regret over the seeds at each tenth of the search."""
    found = []
    for workers, name, by_task in by_method(searches):
        for task, theirs in by_task.items():
            regrets = [mean_regret(theirs, best[task], theirs[0].seconds * tenth / 10) for tenth in range(1, 11)]
            rounded = [round(regret, 3) for regret in regrets]
            found.append({"workers": workers, "method": name, "task": task, "regret at tenths": rounded})
    return found


def as_search(line: dict[str, Any]) -> Search:
    given = {name: line[name] for name in ("task", "seed", "workers", "method", "seconds", "random_best")}
    return Search(**given, improvements=tuple((moment, score) for moment, score in line["improvements"]))


def by_method(searches: list[Search]) -> list[tuple[int, str, dict[str, list[Search]]]]:
    """Numbers of workers, methods, and of each by task the searches by seed."""
    found: dict[tuple[int, str], dict[str, list[Search]]] = {}
    for search in sorted(searches, key=lambda search: (search.task, search.seed)):
        found.setdefault((search.workers, search.method), {}).setdefault(search.task, []).append(search)
    order = sorted(found, key=lambda key: (key[0], list(METHODS).index(key[1])))
    return [(*key, found[key]) for key in order]


def same_seeds(first: list[Search], second: list[Search]) -> tuple[list[Search], list[Search]]:
    both = {search.seed for search in first} & {search.seed for search in second}
    return [search for search in first if search.seed in both], [search for search in second if search.seed in both]


def quieten() -> None:
    """Optuna's TPE spends nine tenths of its time on ln Phi, one Python call a number; SciPy's is the same function."""
    _truncnorm._log_ndtr = scipy.special.log_ndtr
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore")


if __name__ == "__main__":
    main()
