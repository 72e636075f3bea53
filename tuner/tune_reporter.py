"""Keeps Ray Tune from reporting its progress in a notebook: it clears the cell's output first, and ours with it.

`verbose=0` is enough elsewhere; there a reporter would be passed over with a warning.
"""

from typing import Any

from ray.tune import ProgressReporter
from ray.tune.progress_reporter import IS_NOTEBOOK


class Silent(ProgressReporter):
    """Reports nothing."""

    def should_report(self, trials: list[Any], done: bool = False) -> bool:
        return False

    def report(self, trials: list[Any], done: bool, *sys_info: str) -> None:
        raise AssertionError("it is never asked to")


def reporter() -> ProgressReporter | None:
    """What `tune.RunConfig` is given."""
    return Silent() if IS_NOTEBOOK else None
