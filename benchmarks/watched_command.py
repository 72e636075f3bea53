"""A voxtune command as a user types it, imports included: how long it takes, and of what memory."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tuner.background import beating


def timed(arguments: Sequence[str], folder: Path) -> dict[str, Any]:
    """Run a voxtune command; how long it took, of what memory, and the last lines of what it said."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    output = folder / "output.txt"
    began, clock = time.time(), time.perf_counter()
    with output.open("w") as said:
        command = [sys.executable, "-m", "tuner.cli", *arguments]
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT, env=environment)
        watch = MemoryWatch(process.pid)
        with beating(watch.sample, every=0.5, name="memory"):
            _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - clock
    text = output.read_text(errors="replace")
    code = os.waitstatus_to_exitcode(status)
    lines = text.splitlines()
    if code:
        sys.exit(f"voxtune {' '.join(arguments)} ended with {code}: {text[-3000:]}")
    gib = usage.ru_maxrss / 2**20, watch.most / 2**30
    print(f"{arguments[0]:>8}: {seconds:8.1f} s  driver {gib[0]:5.2f} GiB  all {gib[1]:5.2f} GiB", flush=True)
    return {
        "command": ["voxtune", *(argument.replace(str(folder), "FOLDER") for argument in arguments)],
        "exit code": code,
        "began": began,
        "seconds": round(seconds, 2),
        "driver's CPU seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "driver's GiB": round(gib[0], 3),
        "all processes' GiB": round(gib[1], 3),
        "lines of progress": [line.replace(str(folder), "FOLDER") for line in lines[:12]],
        "load average": round(os.getloadavg()[0], 1),
    }


class MemoryWatch:
    """The most that a process and all that it started held at once, in bytes that are theirs alone."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.most = 0

    def sample(self) -> None:
        held = 0
        with suppress(psutil.NoSuchProcess):
            for one in (self._process, *self._process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    held += one.memory_full_info().uss
        self.most = max(self.most, held)
