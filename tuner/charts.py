"""The interactive charts of the HTML report, as plotly figures: one file a question, this one lists them."""

from typing import TYPE_CHECKING

from tuner.config import SweepConfig
from tuner.importance import Importance
from tuner.markdown import amount
from tuner.results import Results
from tuner.rungs import rung_steps

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def charts_of(config: SweepConfig, results: Results, importance: Importance | None) -> dict[str, "Figure"]:
    """The charts by name, in the order of the report; one is missing where there is nothing to show.

    Each has its height, fills the width that it gets and takes the page's font. What it shows and how to read it stands
    as plain text in `layout.meta["caption"]`, for the page to set and escape; `layout.meta["least_width"]` is the
    pixels below which its labels would meet, so that it is to scroll. Text inside a figure is escaped for plotly, which
    takes a little HTML for markup.
    """
    from tuner.charts_batch_patch import batch_patch_chart
    from tuner.charts_curves import curves_chart
    from tuner.charts_front import front_chart
    from tuner.charts_importance import importance_chart
    from tuner.charts_parallel import parallel_chart
    from tuner.charts_timeline import timeline_chart
    from tuner.charts_utilisation import utilisation_chart

    rungs = rung_steps(config.budget.first_share, config.budget.reduction)
    budget = amount(config.budget.maximum, config.budget.unit)
    charts = {
        "curves": curves_chart(results, rungs=rungs, budget=budget),
        "importance": importance_chart(importance) if importance else None,
        "parallel": parallel_chart(results, importance),
        "time_front": front_chart(results, "training_seconds"),
        "memory_front": front_chart(results, "peak_gib"),
        "batch_patch": batch_patch_chart(results),
        "timeline": timeline_chart(results),
        "utilisation": utilisation_chart(results),
    }
    return {name: figure for name, figure in charts.items() if figure is not None}
