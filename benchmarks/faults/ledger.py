"""What came of the runs: a line of JSON each, and the table over all of them."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

OUTCOMES = ("went on by itself", "resumed", "told, then resumed", "broken", "not struck")


def read_runs(file: Path) -> list[dict[str, Any]]:
    lines = file.read_text().splitlines() if file.is_file() else []
    return [json.loads(line) for line in lines]


def add_run(file: Path, run: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as opened:
        opened.write(json.dumps(run) + "\n")


def counted(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last word on each seed and number: a run that was made again replaces the one before."""
    return list({(run["seed"], run["run"]): run for run in runs}.values())


def table(runs: Sequence[dict[str, Any]], faults: Sequence[str]) -> str:
    """Fault x outcome in Markdown."""
    by_fault = {fault: Counter(run["outcome"] for run in runs if run["fault"] == fault) for fault in faults}
    rows = [["fault", "runs", *OUTCOMES], ["---"] * (2 + len(OUTCOMES))]
    for fault, outcomes in by_fault.items():
        rows.append([fault, str(outcomes.total()), *(str(outcomes[outcome] or "") for outcome in OUTCOMES)])
    total = Counter(run["outcome"] for run in runs)
    rows.append(["all", str(total.total()), *(str(total[outcome] or "") for outcome in OUTCOMES)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
