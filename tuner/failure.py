"""Why a sweep's last driver could not go on, told to others by `failed.txt` in its directory until the next one begins.

It can't be in the study: often that is what could not be written, since a disk is full or a server away.
"""

from contextlib import suppress

from tuner.directory import SweepDirectory


def tell_failure(directory: SweepDirectory, failure: Exception) -> None:
    """Leave in the sweep's directory what ended its driver."""
    # Not by way of a temporary file: on a full disk an empty one is left, which tells as much as there is room for.
    with suppress(OSError):
        directory.failure_file.write_text(str(failure) or type(failure).__name__, encoding="utf-8")


def forget_failure(directory: SweepDirectory) -> None:
    """Another driver goes on."""
    directory.failure_file.unlink(missing_ok=True)


def told_failure(directory: SweepDirectory) -> str | None:
    """Why the last driver could not go on; None if it could, or one is at work."""
    try:
        reason = directory.failure_file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return reason or f"it could not go on; see {directory.log_file}"
