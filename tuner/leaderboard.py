"""The table that a sweep ends with: its best configurations."""

import math

import pandas as pd
from rich.table import Table

from tuner.cells import cell
from tuner.results import Results

ROWS = 8


def leaderboard(results: Results, *, rows: int = ROWS) -> Table:
    """The best trials, the chosen one first and marked; mean and spread over seeds where they were confirmed."""
    confirmed = results.confirmed_summary.set_index("config") if len(results.confirmed_summary) else pd.DataFrame()
    tested = len(confirmed) > 0 and bool(confirmed["test_mean"].notna().any())
    table = Table(title="Leaderboard", title_justify="left", box=None, pad_edge=False, header_style="bold")
    for heading in ("", "trial", "Dice"):
        table.add_column(heading, justify="right", no_wrap=True)
    if len(confirmed):
        table.add_column("mean over seeds", justify="right", no_wrap=True)
    if tested:
        table.add_column("test", justify="right", no_wrap=True)
    for name in results.space.searched:
        table.add_column(cell(name), justify="right")
    best = results.best
    ranked = results.ranking
    order = sorted(ranked, key=lambda run: best is None or run.number != best.number)
    for run in order[:rows]:
        cells = ["*" if best and run.number == best.number else "", str(run.number), f"{run.score:.4f}"]
        if not run.finished:
            cells[-1] += f" at {run.step / 10:.0f} %"
        if len(confirmed):
            cells.append(_spread(confirmed, run.number, "validation"))
        if tested:
            cells.append(_spread(confirmed, run.number, "test"))
        parameters = results.sweep_trials[run.number].params
        table.add_row(*cells, *(cell(parameters.get(name, "")) for name in results.space.searched))
    return table


def _spread(confirmed: pd.DataFrame, number: int, column: str) -> str:
    """`0.8712 ± 0.0021`, or nothing for a trial that was not trained again."""
    if number not in confirmed.index:
        return ""
    mean, std = confirmed.loc[[number], [f"{column}_mean", f"{column}_std"]].to_numpy(dtype=float)[0]
    return f"{mean:.4f}" if math.isnan(std) else f"{mean:.4f} ± {std:.4f}"
