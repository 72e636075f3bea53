"""The interactive chart of what the slots' time went into."""

from collections.abc import Callable, Mapping

import plotly.graph_objects as go

from tuner.charts_style import chart, rounded
from tuner.durations import duration
from tuner.markdown import count
from tuner.palette import AMBER, BLUE, FAINT, GREEN, GREY, PINK, SKY
from tuner.results import Results
from tuner.utilisation import Utilisation, utilisation

PARTS: Mapping[str, tuple[str, Callable[[Utilisation], float]]] = {
    "training": (BLUE, lambda use: use.training - use.data),
    "drawing batches": (SKY, lambda use: use.data),
    "evaluation": (GREEN, lambda use: use.evaluation),
    "start": (AMBER, lambda use: use.start),
    "checkpoint": (PINK, lambda use: use.checkpoint),
    "waiting": (GREY, lambda use: use.waiting),
    "lost": (FAINT, lambda use: 1 - use.busy - use.start - use.checkpoint - use.waiting),
}

LEAST = 0.0005
"""A share that is not drawn."""


def utilisation_chart(results: Results) -> go.Figure | None:
    """A bar for the search, and one for the confirm stage where there was one."""
    stages = {"search": results.sweep_trials, "confirm": results.confirm_trials}
    found = {stage: use for stage, trials in stages.items() if (use := utilisation(trials))}
    if not found:
        return None
    traces = []
    for part, (colour, share) in PARTS.items():
        shares = {stage: share(use) for stage, use in found.items()}
        if max(shares.values()) < LEAST:
            continue
        traces.append(
            go.Bar(
                x=[rounded(max(0.0, value)) for value in shares.values()],
                y=list(shares),
                customdata=[duration(value * found[stage].seconds) for stage, value in shares.items()],
                orientation="h",
                name=part,
                marker={"color": colour},
                texttemplate="%{x:.0%}",
                textangle=0,
                insidetextanchor="middle",
                hovertemplate=f"{part}: %{{x:.1%}}, %{{customdata}}<extra></extra>",
            )
        )
    most = max(sum(trace.x[place] for trace in traces) for place in range(len(found)))
    amounts = [f"{stage}: {count(use.slots, 'slot')}, {duration(use.seconds)}" for stage, use in found.items()]
    return chart(
        traces,
        caption=f"What the slots' time went into ({'; '.join(amounts)}, added up over the slots from each one's first "
        "trial to its last one's end). Start is building networks and loading states, checkpoint waiting for the "
        "disk, waiting that for the next trial or to be told to go on"
        + ("; lost is what was repeated after a kill." if traces[-1].name == "lost" else "."),
        height=140 + 54 * len(found),
        xaxis={
            "title": {"text": "share of the slots' time"},
            "tickformat": ".0%",
            "range": [0, max(1, most)],
            "showgrid": False,
            "dtick": 0.25,
        },
        yaxis={"autorange": "reversed", "showgrid": False},
        margin={"r": 24},
        barmode="stack",
        bargap=0.3,
        legend={"traceorder": "normal"},
        uniformtext={"minsize": 10, "mode": "hide"},
    )
