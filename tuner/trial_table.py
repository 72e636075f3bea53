"""A study's trials as a table: their attributes flattened, under the names of our columns."""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from search_spaces.space import SearchSpace

RENAMED = {"loss": "training_loss", "precision": "precision_used", "parameters": "parameter_count"}
"""Reported names that are training parameters too, or would be taken for one, and their columns."""

FACTS = ("parameters", "estimated_gib", "peak_gib", "data_seconds", "precision", "skipped_steps", "device", "origin")
SLOT_TIME = ("start_seconds", "waiting_seconds", "checkpoint_seconds")
AMOUNTS = ("budget_used", "steps", "training_seconds", "evaluation_seconds")


def trial_table(trials: Iterable[FrozenTrial], space: SearchSpace, *, front: Set[int] | None = None) -> pd.DataFrame:
    """The columns that `Results.trials` describes.

    Args:
        front: the numbers of the trials on the Pareto front, for the column `on_front`; None where there is none.
    """
    facts = {name: RENAMED.get(name, name) for name in FACTS}
    head = ["number", "state", "stop_reason", "score", "step", *(["on_front"] if front is not None else [])]
    tail = [*AMOUNTS, *SLOT_TIME, *facts.values(), "node", "seed", "started", "ended", "error"]
    parameters = {name: f"parameter_{name}" if name in head + tail else name for name in space.searched}
    rows = []
    for trial in trials:
        known = trial.user_attrs
        rows.append(
            {"number": trial.number, "state": _state(trial), "stop_reason": known.get("stop_reason"), "step": 0}
            | {column: trial.params.get(name) for name, column in parameters.items()}
            | _last_evaluation(trial)
            | _on_slots(known.get("stints", []))
            | {column: known.get(name) for name, column in facts.items()}
            | {"seed": known.get("seed"), "started": trial.datetime_start, "ended": trial.datetime_complete}
            | {"error": known.get("error")}
            | ({"on_front": trial.number in front} if front is not None else {})
        )
    frame = frame_of(rows, [*head, *parameters.values(), *tail])
    return frame.astype({"score": float, "started": "datetime64[us]", "ended": "datetime64[us]"})


def evaluations_of(trial: FrozenTrial) -> list[dict[str, Any]]:
    """The trial's evaluations by step, under the names of our columns.

    A trial taken up from a checkpoint older than its last report evaluates a step twice; the last counts, as it does
    for the study's intermediate values.
    """
    by_step: dict[int, dict[str, Any]] = {}
    for evaluation in trial.user_attrs.get("evaluations", []):
        by_step[evaluation["step"]] = {RENAMED.get(name, name): evaluation[name] for name in evaluation}
    return [by_step[step] for step in sorted(by_step)]


def _on_slots(stints: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Where a trial ran last, and its time there beside training and evaluation; nothing before its first report."""
    if not stints:
        return {}
    phases = ("start", "advance", "checkpoint")
    waiting = sum(stint["ended"] - stint["began"] - sum(stint[phase] for phase in phases) for stint in stints)
    return {
        "node": stints[-1]["node"],
        "start_seconds": sum(stint["start"] for stint in stints),
        "checkpoint_seconds": sum(stint["checkpoint"] for stint in stints),
        "waiting_seconds": waiting,
    }


def _last_evaluation(trial: FrozenTrial) -> dict[str, Any]:
    return (evaluations_of(trial) or [{}])[-1]


def frame_of(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """The rows under `columns`, and after them what else they hold in the order in which it comes up.

    Whole numbers stay whole where some are missing.
    """
    names = dict.fromkeys([*columns, *(name for row in rows for name in row)])
    frame = pd.DataFrame(rows, columns=pd.Index(names))
    with_holes = [name for name in frame.columns if frame[name].dtype.kind == "f" and frame[name].isna().any()]
    kinds = {name: {type(row[name]) for row in rows if row.get(name) is not None} for name in with_holes}
    return frame.astype({name: "Int64" for name, kind in kinds.items() if kind == {int}})


def _state(trial: FrozenTrial) -> str:
    """Optuna's name of it. What waits here was begun, so it was interrupted."""
    return "INTERRUPTED" if trial.state == TrialState.WAITING else trial.state.name
