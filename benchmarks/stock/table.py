"""The table of `benchmarks/against_stock.py`: one column a side, one row a figure."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

SIDES = ("stock", "expert", "ours", "new")
DICE = 0.84
"""A good network's, on hippocampi."""


def table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Medians over the runs, the targets, and each run's figure in brackets."""
    middle = {side: medians(runs) for side, runs in found.items()}
    rows: list[tuple[str, str, list[str]]] = []

    def add(title: str, name: str, target: str = "", *, share: bool = False, digits: int | None = None) -> None:
        scale = 100 if share else 1
        shown = [spread([scale * run[name] for run in found[side]], 1 if share else digits) for side in SIDES]
        rows.append((title, target, shown))

    def add_ratio(title: str, name: str, target: str) -> None:
        stock = middle["stock"][name]
        shown = [f"{middle[side][name] / stock:.3f}" if stock else "-" for side in SIDES]
        rows.append((title, target, shown))

    add("turnaround, s", "turnaround", "ours ≤ 0.3")
    add_ratio("  of stock's", "turnaround", "ours ≤ 0.050")
    add("  the longest, s", "longest turnaround")
    add("training and evaluation, % of slots' time", "training and evaluation", "ours ≥ 95", share=True)
    add("training steps, their batches included, %", "training", "ours ≥ 80", share=True)
    add("  waiting for batches, %", "waiting for batches", share=True)
    add("evaluation, %", "evaluation", share=True)
    add("checkpoints, %", "checkpoint", share=True)
    add("start and waiting, %", "start and waiting", share=True)
    add("tail, s", "tail")
    add(f"time to Dice {DICE}, s", "seconds to dice")
    add_ratio("  of stock's", "seconds to dice", "ours ≤ 0.75, new ≤ 0.50")
    reached = [f"{sum(run['reached'] for run in found[side]):.0f} of {len(found[side])}" for side in SIDES]
    rows.append(("  runs that reached it", "", reached))
    add("search in all, s", "seconds")
    add("  before its first trial, s", "before the first trial")
    add("Ray's start, in none of the above, s", "ray")
    add("best Dice", "best", digits=4)
    head = ("median (each run)", "target", list(SIDES))
    lines = [head, ("---", "---", ["---"] * len(SIDES)), *rows]
    return "\n".join(f"| {title} | {target} | {' | '.join(shown)} |" for title, target, shown in lines)


def medians(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    names = [name for name, value in runs[0].items() if isinstance(value, float)] if runs else []
    return {name: median(run[name] for run in runs) for name in names}


def spread(values: Sequence[float], digits: int | None = None) -> str:
    """The median and, of several, each."""
    if digits is None:
        digits = 1 if max(values) >= 10 else 2
    each = f" ({', '.join(f'{value:.{digits}f}' for value in values)})" if len(values) > 1 else ""
    return f"{median(values):.{digits}f}{each}"
