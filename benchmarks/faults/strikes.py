"""The faults: where each can strike, what it does to a running sweep, and what is done before the sweep goes on.

A strike leaves what proves that it struck, besides the trials that trained at that moment; it raises NotStruckError
where it did not, and the run is then made again with another moment.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults.disks import Disk, MemoryGroup
from faults.places import Hosts, until
from faults.server import Server
from faults.sweeps import FaultSweep, Kind
from faults.trainables import GROUP, PLAN, STRUCK

OWN, JOINED, HOSTS = "own Ray", "running Ray", "three hosts"
EVERYWHERE = (OWN, JOINED, HOSTS)
BOTH: tuple[Kind, ...] = ("toy", "phantom")
TIMEOUT_MINUTES = 2.0
"""Long enough that nothing honest is silent for so long, on a machine that others use too."""

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


class NotStruckError(Exception):
    """The fault did not come about: the run does not count."""


@dataclass
class Struck:
    """A run's fault as it came about."""

    sweep: FaultSweep
    draw: random.Random
    proof: dict[str, Any] = field(default_factory=dict)
    disk: Disk | None = None
    server: Server | None = None
    group: MemoryGroup | None = None


@dataclass(frozen=True, kw_only=True)
class Fault:
    name: str
    strike: Callable[[Struck], None]
    places: tuple[str, ...] = EVERYWHERE
    kinds: tuple[Kind, ...] = BOTH
    prepare: Callable[[Struck], None] = lambda struck: None
    mend: Callable[[Struck], None] = lambda struck: None
    """What the user does, told by the error, before going on."""

    fails: bool = False
    """Whether the trial that it strikes may end as FAIL."""

    ends_driver: bool = False
    """Whether the driver is ended by it, and says nothing."""

    advances_by_plan: bool = False
    """Whether a trial strikes itself, by plan.json, instead of at a moment."""


def _running_trial(struck: Struck) -> Any:
    """One of the trials that train now, and its process."""
    sweep = struck.sweep
    entry = struck.draw.choice(sweep.training() or [None])  # type: ignore[list-item]
    process = entry and sweep.place.process(entry["node"], entry["pid"])
    if process is None:
        raise NotStruckError("no trial trained at that moment")
    struck.proof["victim"] = entry
    return process


def _kill_driver(struck: Struck) -> None:
    struck.sweep.driver.kill()


def _kill_in_study_write(struck: Struck) -> None:
    """The journal's lock stands while it is written, and still stands after the kill."""
    lock = f"{struck.sweep.directory.journal}.lock"
    driver = struck.sweep.driver
    until(lambda: os.path.lexists(lock) or struck.sweep.ended(), seconds=120, every=0.0002, what="no study write")
    driver.kill()
    struck.sweep.wait()
    if not os.path.lexists(lock):
        raise NotStruckError("the write was over before the kill")
    struck.proof["lock left"] = True


def _ballast(struck: Struck) -> None:
    struck.sweep.changes["training"] = {"ballast": 96}


def _kill_in_checkpoint_write(struck: Struck) -> None:
    """A half-written state lies in a trial's folder. The trials' processes are killed too, as when a machine stops."""
    sweep = struck.sweep

    def torn() -> list[Path]:
        return list(sweep.directory.checkpoints.glob("*/*/.state_*.pt.*.tmp"))

    driver = sweep.driver
    until(lambda: bool(torn()) or sweep.ended(), seconds=120, every=0.0005, what="no checkpoint write")
    victims = [sweep.place.process(entry["node"], entry["pid"]) for entry in sweep.advances()]
    driver.kill()
    for victim in {process for process in victims if process}:
        victim.kill()
    sweep.wait()
    if not torn():
        raise NotStruckError("the write was over before the kill")
    struck.proof["half-written"] = [path.name for path in torn()]


def _terminate(struck: Struck) -> None:
    struck.sweep.driver.terminate()


def _interrupt_twice(struck: Struck) -> None:
    driver = struck.sweep.driver
    driver.send_signal(signal.SIGINT)
    time.sleep(struck.draw.uniform(0.3, 3.0))
    if not struck.sweep.ended():
        driver.send_signal(signal.SIGINT)
        struck.proof["second signal"] = True


def _kill_trial(struck: Struck) -> None:
    _running_trial(struck).kill()


def _stop_trial(struck: Struck) -> None:
    process = _running_trial(struck)
    process.suspend()
    sweep = struck.sweep
    until(lambda: not process.is_running() or sweep.ended(), seconds=900, what="the stopped process was not ended")
    struck.proof["ended"] = not process.is_running()


def _stop_and_continue(struck: Struck) -> None:
    process = _running_trial(struck)
    process.suspend()
    time.sleep(struck.draw.uniform(3.0, 8.0))
    struck.proof["was stopped"] = process.is_running() and process.status() == "stopped"
    process.resume()


def _short_timeout(struck: Struck) -> None:
    struck.sweep.changes["resources"] = {"trial_timeout": TIMEOUT_MINUTES}


def _kill_raylet(struck: Struck) -> None:
    place = struck.sweep.place
    if isinstance(place, Hosts):
        entry = next((entry for entry in struck.sweep.training() if entry["node"] != "alpha"), None)
        if entry is None:
            raise NotStruckError("no trial trained on a host without the driver")
        struck.proof["victim"] = entry
        place.raylet_of(next(host for host in place.up if host.name == entry["node"])).kill()
        return
    struck.sweep.see_family()
    raylet = next(process for process in struck.sweep.family.values() if _name(process) == "raylet")
    raylet.kill()


def _name(process: Any) -> str:
    try:
        return str(process.name())
    except Exception:
        return ""


def _cut_off(struck: Struck, *, back_after: float | None = None) -> None:
    place = struck.sweep.place
    assert isinstance(place, Hosts)
    entry = next((entry for entry in struck.sweep.training() if entry["node"] != "alpha"), None)
    if entry is None:
        raise NotStruckError("no trial trained on a host that can be cut off")
    struck.proof["victim"] = entry
    host = next(host for host in place.up if host.name == entry["node"])
    host.cut_off()
    if back_after is not None:
        time.sleep(back_after)
        host.put_back()
        struck.proof["back while the sweep ran"] = not struck.sweep.ended()


def _back_after_a_minute(struck: Struck) -> None:
    _cut_off(struck, back_after=60.0)


FILL_STORE = """
import sys, time
import numpy as np, ray
ray.init(address=sys.argv[1], log_to_driver=False)
held = []
for size in (20, 5, 1):  # MiB
    for _ in range(200):
        try:
            reference = ray.put(np.ones(size * 2**20, np.uint8))
            held.append((reference, ray.get(reference, timeout=5)))  # mapped: it can't be spilled
        except Exception:
            break
        if sum(value.nbytes for _, value in held) > 1.5 * float(sys.argv[2]):
            break
print(sum(value.nbytes for _, value in held), flush=True)
time.sleep(15)
"""


def _fill_object_store(struck: Struck) -> None:
    """Another program maps more than the store holds, for a quarter of a minute."""
    from faults.places import STORE

    place = struck.sweep.place
    address = "auto" if isinstance(place, Hosts) else place.address[1]
    command = place.command(struck.sweep.work, sys.executable, "-c", FILL_STORE, address, STORE)
    environment = {**os.environ, "RAY_AUTH_MODE": "token", **place.environment}
    filled = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    held = int(filled.stdout.split()[-1]) if filled.stdout.split() else 0
    if held < STORE:
        raise NotStruckError(f"the store did not fill: {held} of {STORE} bytes; {filled.stderr[-300:]}")
    struck.proof["bytes held in the object store"] = held


def _on_small_disk(key: str, mib: int) -> Callable[[Struck], None]:
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


def _fill_disk(struck: Struck) -> None:
    assert struck.disk
    struck.proof["bytes written until the disk was full"] = struck.disk.fill()


def _make_room(struck: Struck) -> None:
    assert struck.disk
    struck.disk.free()


def _fill_cache(struck: Struck) -> None:
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


def _truncate_checkpoint(struck: Struck) -> None:
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


def _own_cache(struck: Struck) -> None:
    struck.sweep.changes["cache"] = str(struck.sweep.work / "cache")


def _truncate_cache(struck: Struck) -> None:
    sweep = struck.sweep
    (volumes,) = sweep.place.seen(sweep.work / "cache").glob("*/volumes.bin")
    size = volumes.stat().st_size
    os.truncate(volumes, struck.draw.randrange(0, size // 2))
    struck.proof["truncated from"] = size


def _with_faked_clock(struck: Struck) -> None:
    clock = struck.sweep.shared / "clock"
    clock.parent.mkdir(parents=True, exist_ok=True)
    clock.write_text("+0")
    struck.sweep.environment |= {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }


def _set_clock_back(struck: Struck) -> None:
    """By a day, so that the lines which the driver writes then show it."""
    (struck.sweep.shared / "clock").write_text("-1d")
    yesterday = time.strftime("%Y-%m-%d", time.localtime(time.time() - 86400))

    def told() -> bool:
        logs = struck.sweep.directory.root.glob("logs/*.txt")
        return any(line.startswith(yesterday) for log in logs for line in log.read_text().splitlines())

    until(lambda: told() or struck.sweep.ended(), seconds=120, what="the driver did not write")
    if not told():
        raise NotStruckError("the driver wrote nothing after its clock was set back")
    struck.proof["the driver's lines say"] = yesterday


def _on_postgresql(struck: Struck) -> None:
    struck.server = Server.start(struck.sweep.shared / "server")
    struck.sweep.changes["storage"] = struck.server.url


def _restart_server(struck: Struck) -> None:
    assert struck.server
    struck.server.stop()
    time.sleep(struck.draw.uniform(0.0, 20.0))
    struck.server.begin()
    struck.proof["server restarted"] = True


def _plan(fault: str) -> Callable[[Struck], None]:
    def prepare(struck: Struck) -> None:
        sweep = struck.sweep
        sweep.shared.mkdir(parents=True, exist_ok=True)
        again = fault in ("hang", "leak") and struck.draw.random() < 0.5
        plan = {"fault": fault, "at": struck.draw.randint(1, 6), "again": again}
        (sweep.shared / PLAN).write_text(json.dumps(plan))
        struck.proof["plan"] = plan
        if fault == "hang":
            _short_timeout(struck)
        if fault == "leak":
            struck.group = MemoryGroup.make(mib=300)
            (sweep.shared / GROUP).write_text(str(struck.group.folder))

    return prepare


def _struck_itself(struck: Struck) -> None:
    sweep = struck.sweep
    until(lambda: (sweep.shared / STRUCK).exists() or sweep.ended(), seconds=900, what="no trial came to the fault")
    struck.proof["trial"] = sweep.struck_trial()
    struck.proof["noted"] = [entry for entry in sweep.advances() if entry["what"] == "strike"]
    if not struck.proof["noted"]:
        raise NotStruckError("no trial came to the fault")


def _leaked(struck: Struck) -> None:
    _struck_itself(struck)
    assert struck.group
    group = struck.group
    until(lambda: group.kills() > 0 or struck.sweep.ended(), seconds=900, what="the kernel ended no process")
    struck.proof["processes that the kernel ended"] = group.kills()
    if not group.kills():
        raise NotStruckError("the kernel ended no process")


FAULTS = (
    Fault(name="driver SIGKILL", strike=_kill_driver, ends_driver=True),
    Fault(
        name="driver SIGKILL in a study write",
        strike=_kill_in_study_write,
        places=(OWN, JOINED),
        ends_driver=True,
    ),
    Fault(
        name="driver SIGKILL in a checkpoint write",
        strike=_kill_in_checkpoint_write,
        prepare=_ballast,
        places=(OWN, JOINED),
        kinds=("toy",),
        ends_driver=True,
    ),
    Fault(name="driver SIGTERM", strike=_terminate),
    Fault(name="driver SIGINT twice", strike=_interrupt_twice, ends_driver=True),
    Fault(name="trial killed", strike=_kill_trial),
    Fault(name="trial stopped", strike=_stop_trial, prepare=_short_timeout),
    Fault(name="trial stopped and continued", strike=_stop_and_continue),
    Fault(name="trial hangs", strike=_struck_itself, prepare=_plan("hang"), fails=True, advances_by_plan=True),
    Fault(name="raylet killed", strike=_kill_raylet, places=(OWN, HOSTS), ends_driver=True),
    Fault(name="host cut off", strike=_cut_off, places=(HOSTS,)),
    Fault(name="host cut off, back after a minute", strike=_back_after_a_minute, places=(HOSTS,)),
    Fault(name="object store full", strike=_fill_object_store, places=(JOINED, HOSTS)),
    Fault(
        name="disk full: study",
        strike=_fill_disk,
        prepare=_on_small_disk("runs", 48),
        mend=_make_room,
        places=(OWN, JOINED),
    ),
    Fault(
        name="disk full: checkpoint",
        strike=_fill_disk,
        prepare=_on_small_disk("checkpoints", 48),
        mend=_make_room,
        places=(OWN, JOINED),
    ),
    Fault(
        name="disk full: cache",
        strike=_fill_cache,
        prepare=_on_small_disk("cache", 48),
        mend=_make_room,
        places=(OWN, JOINED),
        kinds=("phantom",),
    ),
    Fault(
        name="disk full: report",
        strike=_fill_disk,
        prepare=_on_small_disk("report", 48),
        mend=_make_room,
        places=(OWN, JOINED),
    ),
    Fault(name="checkpoint truncated", strike=_truncate_checkpoint),
    Fault(name="cache truncated", strike=_truncate_cache, prepare=_own_cache, kinds=("phantom",)),
    Fault(name="driver's clock set back", strike=_set_clock_back, prepare=_with_faked_clock, places=(JOINED,)),
    Fault(name="PostgreSQL restarted", strike=_restart_server, prepare=_on_postgresql, places=(OWN, JOINED)),
    Fault(
        name="memory leak",
        strike=_leaked,
        prepare=_plan("leak"),
        fails=True,
        advances_by_plan=True,
        places=(OWN, JOINED),
    ),
    Fault(name="NaN loss", strike=_struck_itself, prepare=_plan("nan"), fails=True, advances_by_plan=True),
    Fault(name="evaluation raises", strike=_struck_itself, prepare=_plan("raise"), fails=True, advances_by_plan=True),
)
