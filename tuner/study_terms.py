"""What the scores of one study have in common: a study is made on its terms, and opened on no others."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.study import StudyDirection

from tuner.config import Objective
from tuner.errors import StudyError

METRIC_NAMES: Mapping[Objective, str] = {"dice": "Dice", "training_seconds": "training s", "peak_gib": "peak GiB"}
"""As optuna-dashboard shows them."""


def open_on_terms(
    storage: optuna.storages.BaseStorage,
    name: str,
    terms: Mapping[str, Any],
    objectives: Sequence[Objective],
    *,
    instead: str = "start a new sweep under another --name",
) -> optuna.Study:
    """Open the study `name`, or make it.

    Args:
        terms: what makes its scores comparable (data, split, budget, space), plain values, written in this order.
        instead: what a user may do who wants other terms.

    Raises StudyError if it was made on other terms.
    """
    directions = [_direction(objective) for objective in objectives]
    study = optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)
    for term, value in {"objectives": list(objectives), **terms}.items():
        known = study.user_attrs.get(term)
        if known is None:
            study.set_user_attr(term, value)
        elif differing := _differing(term, known, value):
            raise StudyError(
                f"study {name!r} was made with other settings, so its scores can't be compared with new ones; "
                f"differing: {'; '.join(differing)}. Put them back, or {instead}"
            )
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        if study.metric_names is None:
            study.set_metric_names([METRIC_NAMES[objective] for objective in objectives])
    return study


def _direction(objective: Objective) -> StudyDirection:
    return StudyDirection.MAXIMIZE if objective == "dice" else StudyDirection.MINIMIZE


def _differing(key: str, known: Any, value: Any) -> list[str]:
    """Where two plain values differ, as `key.inner: was 1, now 2`."""
    if isinstance(known, Mapping) and isinstance(value, Mapping):
        names = sorted(known.keys() | value.keys())
        return [line for name in names for line in _differing(f"{key}.{name}", known.get(name), value.get(name))]
    return [] if known == value else [f"{key}: was {known!r}, now {value!r}"]
