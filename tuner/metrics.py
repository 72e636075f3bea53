"""Publishes a search through Ray's metrics, for Prometheus, Grafana and Ray's dashboard.

The driver alone publishes, and what it publishes it reads from the study: so the values are the record's, also after a
resume. Ray exports a gauge while it goes on being set, every `metrics_report_interval_ms` (10 s), and forgets one that
was not set for two such intervals. So a trial's series ends with the trial, and a dead driver's end with the driver.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from optuna.trial import FrozenTrial

from tuner.background import beating
from tuner.metric_values import STATE_METRICS, SWEEP_METRICS, TRIAL_METRICS, metric_values
from tuner.utilisation import Utilisation, utilisation
from tuner.work import Work

PUBLISH_SECONDS = 5.0
"""Half of Ray's own interval, so that none of its exports lacks a value."""

log = logging.getLogger("voxtune")


@contextmanager
def publishing(work: Work, *, sweep: str) -> Iterator[None]:
    """While the block runs, keep Ray's metrics at what the study of `work` says, under the tag `sweep`.

    Where Ray exports no metrics this does nothing. A failure is logged once, and never ends the block.
    """
    metrics: _Metrics | None = None
    failed = False

    def publish() -> None:
        nonlocal metrics, failed
        try:
            metrics = metrics or _Metrics(sweep)
            metrics.set(work)
        except Exception:  # a storage that is away for a moment, or a Ray that is
            if not failed:
                log.exception("%s: metrics could not be published", sweep)
            failed = True

    publish()
    try:
        with beating(publish, every=PUBLISH_SECONDS, name="metrics"):
            yield
    finally:
        publish()


class _Metrics:
    """Ray's gauges of one sweep."""

    def __init__(self, sweep: str) -> None:
        kinds: tuple[tuple[Mapping[str, str], tuple[str, ...]], ...] = (
            (SWEEP_METRICS, ()),
            (STATE_METRICS, ("state",)),
            (TRIAL_METRICS, ("trial",)),
        )
        self._gauges = {
            name: _gauge(name, description, sweep, tags)
            for metrics, tags in kinds
            for name, description in metrics.items()
        }
        self._reported = 0
        self._last_used: Utilisation | None = None

    def set(self, work: Work) -> None:
        """Set all to what the study says now."""
        devices = (work.resources.get("gpu") or work.resources.get("cpu", 0)) * work.workers
        trials = work.study.trials()
        endless = work.trials is None
        for value in metric_values(trials, endless=endless, devices=devices, busy=self._busy(trials)):
            self._gauges[value.metric].set(float(value.value), tags=dict(value.tags))

    def _busy(self, trials: Sequence[FrozenTrial]) -> float | None:
        """Worked out again only once a trial has reported or ended: it takes 20 ms, more than all else together."""
        reported = sum(len(trial.intermediate_values) + trial.state.is_finished() for trial in trials)
        if reported != self._reported:
            self._reported, self._last_used = reported, utilisation(trials)
        return self._last_used.busy if self._last_used else None


def _gauge(name: str, description: str, sweep: str, tags: tuple[str, ...]) -> Any:
    from ray.util.metrics import Gauge

    return Gauge(name, description, tag_keys=("sweep", *tags)).set_default_tags({"sweep": sweep})
