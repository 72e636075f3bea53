"""How a trial that was begun ended, in words for people."""

from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial, TrialState

FULL, STOPPED, MISFIT, FAILED, INTERRUPTED, RUNNING = (
    "reached the full budget",
    "stopped at a rung",
    "did not fit in memory",
    "failed",
    "interrupted",
    "still running",
)

_ENDINGS: Mapping[Any, str] = {
    "full budget": FULL,
    "stopped at rung": STOPPED,
    "out of memory": MISFIT,
    "turned away": MISFIT,
    "error": FAILED,
    TrialState.COMPLETE: FULL,
    TrialState.PRUNED: STOPPED,
    TrialState.FAIL: FAILED,
    TrialState.WAITING: INTERRUPTED,
    TrialState.RUNNING: RUNNING,
}


def ending(trial: FrozenTrial) -> str:
    """One of the words above."""
    reason = trial.user_attrs.get("stop_reason")
    return _ENDINGS[reason if trial.state.is_finished() and reason in _ENDINGS else trial.state]
