"""A job of a sweep as the cluster knows it, and as it is ordered.

A job is a sweep's by its metadata, which Ray's dashboard shows too.

    PENDING -> RUNNING -> SUCCEEDED     the driver ended with exit code 0
                       -> FAILED        with another one, or it could not be started
                       -> STOPPED       somebody stopped it
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

SWEEP, RUNS, VERSION, CODE = "voxtune_sweep", "voxtune_runs", "voxtune_version", "voxtune_code"
"""Keys of a job's metadata."""

NAME = "job_name"
"""The key that Ray's dashboard shows as the job's name."""

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


@dataclass(frozen=True, kw_only=True)
class SweepJob:
    """A job of a sweep, as the cluster told it."""

    id: str
    sweep: str
    state: str
    message: str
    """Why it is in this state, in Ray's words; after a failure with the end of the log."""

    started: datetime | None
    ended: datetime | None
    exit_code: int | None
    """Of the driver, once it ended by itself."""

    runs: str
    """The folder of all sweeps on the cluster."""

    code: tuple[str, ...]
    """Names of the user's own modules that travelled with it."""

    @property
    def active(self) -> bool:
        return self.state not in ENDED

    @property
    def exit_status(self) -> int:
        """What a command that waited for it ends with."""
        if self.state == "STOPPED":
            return 130
        return (self.exit_code or 1) if self.state == "FAILED" else 0


@dataclass(frozen=True, kw_only=True)
class Order:
    """A job to be submitted."""

    sweep: str
    entrypoint: str
    """A shell command, run on the cluster in the folder that travels."""

    folder: Path
    """What travels; see `job_folder`."""

    runs: str
    version: str
    """Of the voxtune that orders it."""

    code: tuple[str, ...] = ()

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the cluster keeps of it. Whoever sees the dashboard sees it: no secret belongs here."""
        return {
            NAME: self.sweep,
            SWEEP: self.sweep,
            RUNS: self.runs,
            VERSION: self.version,
            CODE: "\n".join(self.code),
        }


def sweep_job(details: Any) -> SweepJob | None:
    """What Ray's client tells of a job; None if it is no sweep's."""
    metadata = details.metadata or {}
    if SWEEP not in metadata or details.submission_id is None:
        return None
    return SweepJob(
        id=details.submission_id,
        sweep=metadata[SWEEP],
        state=str(getattr(details.status, "value", details.status)),
        message=details.message or "",
        started=_time(details.start_time),
        ended=_time(details.end_time),
        exit_code=details.driver_exit_code,
        runs=metadata.get(RUNS, ""),
        code=tuple(metadata.get(CODE, "").splitlines()),
    )


def _time(milliseconds: int | None) -> datetime | None:
    """Local time."""
    return datetime.fromtimestamp(milliseconds / 1000).astimezone() if milliseconds else None
