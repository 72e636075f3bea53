"""Strikes that end or stop a process, or take away the host on which it runs."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from faults.fault import NotStruckError, Struck, running_trial
from faults.places import Hosts, until

TIMEOUT_MINUTES = 2.0
"""Long enough that nothing honest is silent for so long, on a machine that others use too."""


def kill_driver(struck: Struck) -> None:
    struck.sweep.driver.kill()


def kill_in_study_write(struck: Struck) -> None:
    """The journal's lock stands while it is written, and still stands after the kill."""
    lock = f"{struck.sweep.directory.journal}.lock"
    driver = struck.sweep.driver
    until(lambda: os.path.lexists(lock) or struck.sweep.ended(), seconds=120, every=0.0002, what="no study write")
    driver.kill()
    struck.sweep.wait()
    if not os.path.lexists(lock):
        raise NotStruckError("the write was over before the kill")
    struck.proof["lock left"] = True


def ballast(struck: Struck) -> None:
    struck.sweep.changes["training"] = {"ballast": 96}


def kill_in_checkpoint_write(struck: Struck) -> None:
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


def terminate(struck: Struck) -> None:
    struck.sweep.driver.terminate()


def interrupt_twice(struck: Struck) -> None:
    driver = struck.sweep.driver
    driver.send_signal(signal.SIGINT)
    time.sleep(struck.draw.uniform(0.3, 3.0))
    if not struck.sweep.ended():
        driver.send_signal(signal.SIGINT)
        struck.proof["second signal"] = True


def kill_trial(struck: Struck) -> None:
    running_trial(struck).kill()


def stop_trial(struck: Struck) -> None:
    process = running_trial(struck)
    process.suspend()
    sweep = struck.sweep
    until(lambda: not process.is_running() or sweep.ended(), seconds=900, what="the stopped process was not ended")
    struck.proof["ended"] = not process.is_running()


def stop_and_continue(struck: Struck) -> None:
    process = running_trial(struck)
    process.suspend()
    time.sleep(struck.draw.uniform(3.0, 8.0))
    struck.proof["was stopped"] = process.is_running() and process.status() == "stopped"
    process.resume()


def short_timeout(struck: Struck) -> None:
    struck.sweep.changes["resources"] = {"trial_timeout": TIMEOUT_MINUTES}


def kill_raylet(struck: Struck) -> None:
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


def cut_off(struck: Struck, *, back_after: float | None = None) -> None:
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


def back_after_a_minute(struck: Struck) -> None:
    cut_off(struck, back_after=60.0)
