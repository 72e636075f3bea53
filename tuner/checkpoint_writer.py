"""Writes a trial's state beside its training, so that no step waits for the disk."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from trainables.archive import write_archive
from tuner.trial_files import TrialFiles


class CheckpointWriter:
    """Writes one state at a time, in a thread."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def write(self, state: Mapping[str, Any], files: TrialFiles, name: str, *, instead_of: str | None = None) -> None:
        """Begin to write a snapshot that nothing changes any more; one begun before is awaited first.

        Args:
            instead_of: the state that is removed once this one is there.
        """
        self.wait()
        self._writing = self._thread.submit(_write, state, files, name, instead_of)

    def wait(self) -> str | None:
        """Have what was begun be there. Returns why it is not; said once."""
        writing, self._writing = self._writing, None
        if writing is None or (error := writing.exception()) is None:
            return None
        return f"{type(error).__name__}: {error}"


def _write(state: Mapping[str, Any], files: TrialFiles, name: str, instead_of: str | None) -> None:
    files.put(name, lambda path: write_archive(state, path))
    if instead_of:
        files.remove(instead_of)
