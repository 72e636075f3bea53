"""Writes a trial's state beside its training, so that no step waits for the disk."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from tuner.files import replace_file


class CheckpointWriter:
    """Writes one state at a time, in a thread."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: Future[Path] | None = None

    def write(self, state: Mapping[str, Any], path: Path) -> None:
        """Begin to write a snapshot that nothing changes any more; one begun before is awaited first."""
        self.wait()
        self._writing = self._thread.submit(replace_file, path, lambda temporary: torch.save(state, temporary))

    def wait(self) -> str | None:
        """Have what was begun be on the disk. Returns why it is not; said once."""
        writing, self._writing = self._writing, None
        if writing is None or (error := writing.exception()) is None:
            return None
        return f"{type(error).__name__}: {error}"
