"""The interactive chart of what parameters matter."""

from collections.abc import Sequence

import plotly.graph_objects as go

from tuner.charts_style import chart, rounded
from tuner.charts_text import shown
from tuner.importance import Importance
from tuner.palette import BLUE, GREY, INK


def importance_chart(importance: Importance) -> go.Figure | None:
    """A bar for each parameter, the most important on top, and how long it may be by chance."""
    names = list(importance.shares)
    if not names:
        return None
    clear = set(importance.clear)
    marked = [name for name in names if importance.chance[name] <= 1]
    traces: list[go.Bar | go.Scatter] = [
        _bars(importance, [name for name in names if name in clear], "more than chance", BLUE),
        _bars(importance, [name for name in names if name not in clear], "may be chance", GREY),
    ]
    if marked:
        traces.append(
            go.Scatter(
                x=[rounded(importance.chance[name]) for name in marked],
                y=[shown(name) for name in marked],
                mode="markers",
                name="reached by chance 1 time in 20",
                marker={"symbol": "line-ns", "size": 20, "line": {"width": 2, "color": INK}},
                hovertemplate="%{y}: by chance up to %{x:.0%}<extra></extra>",
            )
        )
    ends = {name: max(importance.shares[name], importance.chance[name] if name in marked else 0) for name in names}
    traces.append(
        go.Scatter(
            x=[rounded(ends[name]) for name in names],
            y=[shown(name) for name in names],
            text=[f"  {importance.shares[name]:.0%}" for name in names],
            mode="text",
            textposition="middle right",
            hoverinfo="skip",
            showlegend=False,
        )
    )
    return chart(
        [trace for trace in traces if trace.y],
        caption=f"Which parameters set the best {importance.best} of {importance.trials} trials apart (PED-ANOVA). A "
        "bar that does not pass its mark, or has none, may be chance (95% level).",
        height=130 + 34 * len(names),
        xaxis={
            "title": {"text": "share of importance"},
            "tickformat": ".0%",
            "range": [0, 0.04 + 1.1 * max(ends.values())],
        },
        yaxis={
            "categoryorder": "array",
            "categoryarray": [shown(name) for name in reversed(names)],
            "showgrid": False,
            "ticks": "",
        },
        barmode="overlay",
        bargap=0.4,
    )


def _bars(importance: Importance, names: Sequence[str], label: str, colour: str) -> go.Bar:
    return go.Bar(
        x=[rounded(importance.shares[name]) for name in names],
        y=[shown(name) for name in names],
        customdata=[
            f"by chance up to {chance:.0%}" if (chance := importance.chance[name]) <= 1 else "by chance even 100%"
            for name in names
        ],
        orientation="h",
        name=label,
        marker={"color": colour},
        hovertemplate="%{y}: %{x:.1%}; %{customdata}<extra></extra>",
    )
