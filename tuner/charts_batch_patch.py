"""The interactive table of batch sizes and patch sizes: how good each pair is, and what did not fit in memory."""

from typing import Any

import plotly.graph_objects as go

from tuner.batch_patch import BATCH, PATCH, Cell, batch_patch_cells
from tuner.charts_style import MODE_BAR, chart, rounded
from tuner.charts_text import shown
from tuner.markdown import count
from tuner.palette import FAINT, INK, SLATE
from tuner.results import Results
from tuner.rungs import FULL_BUDGET

SCALE = ((0.0, "#DCEBF5"), (1.0, "#00598C"))
"""From light to dark, so that it can be read in grey too."""

DARK = 0.55
"""From this share of the scale on text is white."""

CELL_WIDTH = 70
"""Pixels that a cell's text needs."""

MISFIT_COLOUR = "#F7DCC8"


def batch_patch_chart(results: Results) -> go.Figure | None:
    """A cell for each pair; None where not both are searched."""
    rows = batch_patch_cells(results)
    if not rows:
        return None
    full = [cell.best for row in rows for cell in row if cell.step == FULL_BUDGET]
    low, high = (min(full), max(full)) if full else (0.0, 1.0)
    span = high - low or 1.0
    columns = [shown(cell.patch, longest=14) for cell in rows[0]]
    names = [shown(row[0].batch, longest=14) for row in rows]
    common: dict[str, Any] = {"xgap": 3, "ygap": 3, "showscale": False}
    background = [[_background(cell) for cell in row] for row in rows]
    traces = [
        go.Heatmap(
            z=background, zmin=0, zmax=1, colorscale=[[0, FAINT], [1, MISFIT_COLOUR]], hoverinfo="skip", **common
        ),
        go.Heatmap(
            z=[[rounded(cell.best) if cell.step == FULL_BUDGET else None for cell in row] for row in rows],
            zmin=low,
            zmax=low + span,
            colorscale=[list(stop) for stop in SCALE],
            hoverinfo="skip",
            **common,
        ),
    ]
    return chart(
        traces,
        caption="The best Dice of each batch size with each patch size at the full budget (dark is good), or where "
        "none got there, on grey, at the share of it that was reached. Below it the number of trials; ✕ is how many "
        "did not fit in memory: turned away by the estimate before starting, or out of memory for real.",
        height=70 + 72 * len(rows),
        least_width=90 + CELL_WIDTH * len(columns),
        margin={"t": MODE_BAR},
        xaxis={"title": {"text": PATCH}, **_labels(columns)},
        yaxis={"title": {"text": BATCH}, **_labels(names)},
        annotations=[
            _text(cell, place, line, light=cell.step == FULL_BUDGET and cell.best > low + DARK * span)
            for line, row in enumerate(rows)
            for place, cell in enumerate(row)
        ],
    )


def _labels(texts: list[str]) -> dict[str, Any]:
    """An axis of cells, by place: plotly takes the name of a category that looks like a number for its place."""
    return {"tickvals": list(range(len(texts))), "ticktext": texts, "showgrid": False}


def _background(cell: Cell) -> int | None:
    """Of a cell without a trial at the full budget."""
    if cell.trials:
        return 0
    return 1 if cell.misfits else None


def _text(cell: Cell, x: int, y: int, *, light: bool) -> dict[str, Any]:
    lines = []
    if cell.trials:
        at = [] if cell.step == FULL_BUDGET else [f"<i>at {cell.step / FULL_BUDGET:.2g}</i>"]
        lines += [f"<b>{cell.best:.3f}</b>", *at, count(cell.trials, "trial")]
    if cell.misfits:
        lines.append(f"✕ {cell.misfits}")
    return {
        "x": x,
        "y": y,
        "text": "<br>".join(lines) or "–",
        "hovertext": _told(cell),
        "showarrow": False,
        "font": {"color": "white" if light else INK if lines else SLATE, "size": 11},
    }


def _told(cell: Cell) -> str:
    lines = [f"{BATCH} {shown(cell.batch)}, {PATCH} {shown(cell.patch)}"]
    if cell.trials:
        lines.append(
            f"{count(cell.trials, 'trial')}, {cell.reached} evaluated at {cell.step / FULL_BUDGET:.2g} of the budget"
        )
        lines.append(f"there best Dice {cell.best:.4f}, median {cell.middle:.4f}")
    if cell.turned_away:
        lines.append(f"{cell.turned_away} turned away by the memory estimate")
    if cell.out_of_memory:
        lines.append(f"{cell.out_of_memory} ran out of memory")
    return "<br>".join(lines)
