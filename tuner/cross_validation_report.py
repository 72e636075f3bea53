"""Writes what trainings on every fold found: a page for people, a table of all cases, figures for programs."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from tuner.best import Best, Run
from tuner.cross_validation import CrossValidation
from tuner.cross_validation_page import CrossValidationPage, Gathered
from tuner.directory import CROSS_VALIDATION
from tuner.environment import describe_environment
from tuner.files import replace_file, write_text
from tuner.fold_plan import FoldPlan
from tuner.markdown import dice
from tuner.report_best import best_config
from tuner.report_json import as_json
from tuner.sweep_files import read_environment

PAGE, TABLE, FIGURES = CROSS_VALIDATION, "cross_validation.csv", "cross_validation.json"


def write_cross_validation(
    cross: CrossValidation,
    plan: FoldPlan,
    parameters: Mapping[int, Mapping[str, Any]],
    gathered: Gathered | None = None,
) -> Path:
    """Write page, table and figures into the plan's folder, and the best configuration of a sweep. Returns the page."""
    environment = {**describe_environment(), "devices": ", ".join(sorted(set(cross.runs["device"].dropna())))}
    page = CrossValidationPage(
        cross=cross, plan=plan, parameters=parameters, gathered=gathered, environment=environment
    )
    replace_file(plan.output / TABLE, lambda path: cross.scores.to_csv(path, index=False, lineterminator="\n"))
    figures = json.dumps(_figures(page), indent=1, allow_nan=False)
    write_text(plan.output / FIGURES, figures + "\n")
    if plan.results is not None:
        write_text(plan.output / "config.yaml", _config(cross.ranking[0], plan))
    return write_text(plan.output / PAGE, page.to_markdown())


def cross_validation_table(cross: CrossValidation) -> Table:
    """The configurations, best first, for a terminal."""
    shown = Table(title="Cross-validated Dice", title_justify="left", box=None, pad_edge=False, header_style="bold")
    for heading in ("trial", "mean over cases", "spread", "spread over folds"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for number in cross.ranking:
        found = cross.figures(number)
        shown.add_row(str(number), dice(found.mean), f"± {dice(found.sd_over_cases)}", f"± {dice(found.sd_over_folds)}")
    return shown


def _config(number: int, plan: FoldPlan) -> str:
    """The best configuration by cross-validated Dice, for `voxtune train`."""
    results = plan.results
    assert results is not None
    trial = results.sweep_trials[number]
    best = Best(
        number=number,
        parameters={**results.space.fixed, **trial.params},
        basis="full budget",
        found=Run.of("sweep", trial),
    )
    environment = read_environment(plan.directory)
    return best_config(plan.config, results, best, environment=environment)


def _figures(page: CrossValidationPage) -> dict[str, Any]:
    """Of JSON's types; what is not a number as null."""
    cross, plan = page.cross, page.plan
    best, *others = cross.ranking
    gathered = page.gathered
    plain: dict[str, Any] = as_json(
        {
            "schema": 1,
            "sweep": plan.config.name if plan.results else None,
            "folds": len(plan.splits),
            "seed": plan.seed,
            "budget": {"unit": plan.config.budget.unit, "maximum": plan.config.budget.maximum},
            "best": best,
            "configurations": [
                {
                    "number": number,
                    "parameters": page.parameters[number],
                    "mean": found.mean,
                    "sd_over_cases": found.sd_over_cases,
                    "cases": len(cross.cases(number)),
                    "folds": found.by_fold.to_dict(),
                    "mean_of_folds": found.mean_of_folds,
                    "sd_over_folds": found.sd_over_folds,
                    "classes": found.by_class.to_dict("index"),
                    "not_chosen_on": found.not_chosen_on,
                    "worst": found.worst.to_dict("records"),
                }
                for number in cross.ranking
                for found in (cross.figures(number),)
            ],
            "differences": [{"to": other, **asdict(cross.difference(best, other))} for other in others],
            "trainings": cross.runs.to_dict("records"),
            "ensemble": gathered
            and {
                "configuration": gathered.configuration,
                "test": {
                    who: {"mean": cases.mean(), "sd": cases.std()} for who, cases in gathered.test_means().items()
                },
            },
            "environment": page.environment,
        }
    )
    return plain
