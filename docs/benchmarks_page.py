"""The page of all benchmarks, in Markdown: every figure is read from the newest result file, none is typed here."""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import benchmark_figures as figures

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"

HEAD = """\
# Benchmarks

What `benchmarks/` measures, what came out, on what machine, by which command. This page is written from the newest
result files (`python docs/make_reference.py`); each file holds the single measurements, versions and revision. What is
modelled is called so.
"""

NO_GPU = """\
**Nothing here was measured on a GPU.** `benchmarks/step.py` (a training step beside a plain loop and MONAI's fast
recipe), `benchmarks/memory_estimate.py` and the tests that `benchmarks/on_gpu.sh` starts wait for one.
"""


@dataclass(frozen=True)
class Benchmark:
    """A question, and the words that the newest file named like `pattern` answers it with."""

    title: str
    pattern: str
    asks: str
    says: Callable[[Any], str]
    page: str = ""
    """A page beside the file, with the details; `{stem}` stands for the file's own name."""

    @property
    def file(self) -> Path:
        """The newest result: their names end with a date."""
        return max(RESULTS.glob(self.pattern), key=lambda path: path.name)


BENCHMARKS: Mapping[str, tuple[Benchmark, ...]] = {
    "The whole job": (
        Benchmark(
            "Against stock programs",
            "against_stock-*.json",
            "Task04_Hippocampus, 16 trials, two cores: how long, how good, how soon a good network?",
            figures.against_stock,
        ),
        Benchmark(
            "The main job",
            "main_job-*.json",
            "`voxtune new`, `run`, `train`, `evaluate` on real data: how long, how good?",
            figures.main_job,
        ),
        Benchmark(
            "Cross-validation of the best",
            "cross_validation-*.json",
            "`voxtune train --folds all`: the best configuration on every case?",
            figures.cross_validation,
            page="{stem}.md",
        ),
    ),
    "Search": (
        Benchmark(
            "Quality of the search",
            "search_quality-*.json",
            "Regret over time on recorded learning curves, ours beside its rivals?",
            figures.search_quality,
            page="search_quality.md",
        ),
        Benchmark(
            "Configurations that do not fit",
            "memory_search-*.json",
            "How many trials are started that run out of memory?",
            figures.memory_search,
            page="{stem}.md",
        ),
    ),
    "Time": (
        Benchmark(
            "A training step and an evaluation",
            "training_step-*.json",
            "Beside what MONAI's users write, on the same network, patches and threads?",
            figures.training_step,
        ),
        Benchmark(
            "From trial to trial",
            "warm_slots-*.json",
            "How long does a slot stand idle between two trials?",
            figures.warm_slots,
        ),
        Benchmark(
            "Many slots",
            "scaling-*.json",
            "How near does a search come to its bound on more slots?",
            figures.scaling,
            page="{stem}.md",
        ),
        Benchmark(
            "A trial on each core, or two cores on one trial",
            "parallelism-*/study.json",
            "`voxtune study parallelism` on Task04_Hippocampus?",
            figures.parallelism,
            page="study.md",
        ),
        Benchmark(
            "Two workers, one trial",
            "data_parallel-*.json",
            "Does a trial of two workers reach the Dice of one?",
            figures.data_parallel,
        ),
        Benchmark(
            "What watching costs",
            "monitoring-*.json",
            "CPU time of all that shows a sweep?",
            figures.monitoring,
        ),
        Benchmark(
            "The report",
            "report_page-*.json",
            "How long does `voxtune report` take, imports included, and how large is the page?",
            figures.report_page,
        ),
    ),
    "Memory": (
        Benchmark(
            "The estimate",
            "memory_estimate-cpu-*.json",
            "How near is the estimate to what a training takes?",
            figures.memory_estimate,
            page="memory_estimate.md",
        ),
        Benchmark(
            "One copy of the data",
            "shared_memory-*.json",
            "How much memory do more trials on a node take?",
            figures.shared_memory,
        ),
    ),
    "Trust": (
        Benchmark(
            "What survives what",
            "chaos-*.json",
            "A fault strikes while a trial trains: does the sweep go on, and is nothing lost?",
            figures.chaos,
            page="{stem}.md",
        ),
        Benchmark(
            "Without its guard",
            "guards-*.json",
            "Each guard against files, names and people one does not trust is taken out: does a test fail?",
            figures.guards,
            page="{stem}.md",
        ),
        Benchmark(
            "Inputs that are nearly right",
            "fuzz-*.json",
            "Is each file either taken or refused with a clear error?",
            figures.fuzz,
            page="{stem}.md",
        ),
        Benchmark(
            "Much of everything",
            "load-*.json",
            "Many trials, many slots, many cases, large cases: how long, with how much memory?",
            figures.load,
        ),
        Benchmark(
            "A bundle labels as its model",
            "bundle-*.json",
            "`python -m monai.bundle run` beside `voxtune predict`?",
            figures.bundle,
        ),
        Benchmark(
            "Labels lie on their images",
            "orientation-*.json",
            "However the file has its axes?",
            figures.orientation,
        ),
    ),
}


def benchmarks_page() -> str:
    """The whole page. Raises where a file does not hold what is said of it."""
    results = [json.loads(path.read_text()) for path in RESULTS.rglob("*.json")]
    parts = [HEAD] if any(map(_on_gpu, results)) else [HEAD, NO_GPU]
    for heading, group in BENCHMARKS.items():
        parts += [f"## {heading}\n", *map(_section, group)]
    return "\n".join(parts)


def _section(one: Benchmark) -> str:
    found = json.loads(one.file.read_text())
    link = f"../benchmarks/results/{one.file.relative_to(RESULTS)}"
    page = one.page.format(stem=one.file.stem)
    more = f", [details](../benchmarks/results/{(one.file.parent / page).relative_to(RESULTS)})" if page else ""
    says = one.says(found)
    figure = says if says.startswith("|") else f"**{says[0].upper()}{says[1:]}.**"
    return f"### {one.title}\n\n{one.asks}\n\n{figure}\n\n[{one.file.name}]({link}){more}; {_where(found)}.\n"


def _on_gpu(found: Any) -> bool:
    return bool(found["environment"].get("devices")) and found["environment"]["devices"] != "cpu"


def _where(found: Any) -> str:
    """The command that made a result, on what."""
    environment = found["environment"]
    command = found.get("command", environment["command"])
    shown = command if isinstance(command, str) else shlex.join(command)
    libraries = environment["libraries"]
    devices = f" and {', '.join(map(str, environment['devices']))}" if _on_gpu(found) else ""
    return (
        f"`{shown}` on {environment['cores']} cores of an {environment['processor']}{devices}, "
        f"torch {libraries['torch']}, Ray {libraries['ray']}, MONAI {libraries['monai']}"
    )
