"""Strikes that fill a disk, or tear a file that is on it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from faults.disks import Disk
from faults.fault import NotStruckError, Struck
from faults.sweeps import FaultSweep


def on_small_disk(key: str, mib: int) -> Callable[[Struck], None]:
    def prepare(struck: Struck) -> None:
        sweep = struck.sweep
        struck.disk = Disk.make(sweep.shared / "disk", mib=mib)
        if key == "runs":
            sweep.runs_folder = struck.disk.root
        elif key == "report":
            sweep.runs_folder = struck.disk.root
            sweep.changes["storage"] = f"sqlite:///{sweep.shared}/studies.db"
        elif key == "checkpoints":
            sweep.changes["checkpoints"] = str(struck.disk.root)
        else:
            sweep.changes["cache"] = str(struck.disk.root)

    return prepare


def fill_disk(struck: Struck) -> None:
    assert struck.disk
    struck.proof["bytes written until the disk was full"] = struck.disk.fill()


def make_room(struck: Struck) -> None:
    assert struck.disk
    struck.disk.free()


def fill_cache(struck: Struck) -> None:
    """The cache's disk is full while trials map it; then somebody empties the cache, and it is full of other things."""
    assert struck.disk
    sweep = struck.sweep
    struck.proof["bytes written until the disk was full"] = struck.disk.fill()
    sweep.driver.terminate()
    sweep.wait()
    for path in struck.disk.root.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    struck.disk.fill()
    sweep.drive()
    struck.proof["resumed on the full disk"] = sweep.wait()


def truncate_checkpoint(struck: Struck) -> None:
    """The state that a trial would go on from is torn, and then its process is lost."""
    sweep = struck.sweep
    with_state = [entry for entry in sweep.training() if _states(sweep, entry["trial"])]
    if not with_state:
        raise NotStruckError("no trial that trained had a state to go on from")
    entry = struck.draw.choice(with_state)
    process = sweep.place.process(entry["node"], entry["pid"])
    if process is None:
        raise NotStruckError("the trial was gone")
    process.suspend()  # it must not write the next one meanwhile
    states = _states(sweep, entry["trial"])
    if not states:
        process.resume()
        raise NotStruckError("the trial had ended")
    for state in states:
        os.truncate(state, struck.draw.randrange(0, state.stat().st_size))
    process.kill()
    struck.proof |= {"victim": entry, "truncated": [state.name for state in states]}


def _states(sweep: FaultSweep, trial: int) -> list[Path]:
    return list(sweep.directory.checkpoints.glob(f"sweep_{trial:04d}/*/state_*.pt"))


def own_cache(struck: Struck) -> None:
    struck.sweep.changes["cache"] = str(struck.sweep.work / "cache")


def truncate_cache(struck: Struck) -> None:
    sweep = struck.sweep
    (volumes,) = sweep.place.seen(sweep.work / "cache").glob("*/volumes.bin")
    size = volumes.stat().st_size
    os.truncate(volumes, struck.draw.randrange(0, size // 2))
    struck.proof["truncated from"] = size
