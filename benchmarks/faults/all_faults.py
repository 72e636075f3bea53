"""All faults that the bench knows."""

from typing import Any

from faults import by_trials, on_files, on_processes, on_services
from faults.fault import HOSTS, JOINED, OWN, Fault


def _disk_full(of: str, holds: str, **others: Any) -> Fault:
    """The disk is full on which the sweep keeps this; `holds` is its key in the sweep file, or `runs` or `report`."""
    disk = {"prepare": on_files.on_small_disk(holds, 48), "mend": on_files.make_room, "places": (OWN, JOINED)}
    return Fault(name=f"disk full: {of}", **{"strike": on_files.fill_disk, **disk, **others})


def _by_itself(name: str, plan: str, **others: Any) -> Fault:
    """A trial strikes itself, and may end as FAIL."""
    strike = {"strike": by_trials.struck_itself, "prepare": by_trials.plan(plan)}
    return Fault(name=name, fails=True, advances_by_plan=True, **{**strike, **others})


FAULTS = (
    Fault(name="driver SIGKILL", strike=on_processes.kill_driver, ends_driver=True),
    Fault(
        name="driver SIGKILL in a study write",
        strike=on_processes.kill_in_study_write,
        places=(OWN, JOINED),
        ends_driver=True,
    ),
    Fault(
        name="driver SIGKILL in a checkpoint write",
        strike=on_processes.kill_in_checkpoint_write,
        prepare=on_processes.ballast,
        places=(OWN, JOINED),
        kinds=("toy",),
        ends_driver=True,
    ),
    Fault(name="driver SIGTERM", strike=on_processes.terminate),
    Fault(name="driver SIGINT twice", strike=on_processes.interrupt_twice, ends_driver=True),
    Fault(name="trial killed", strike=on_processes.kill_trial),
    Fault(name="trial stopped", strike=on_processes.stop_trial, prepare=on_processes.short_timeout),
    Fault(name="trial stopped and continued", strike=on_processes.stop_and_continue),
    _by_itself("trial hangs", "hang"),
    Fault(name="raylet killed", strike=on_processes.kill_raylet, places=(OWN, HOSTS), ends_driver=True),
    Fault(name="host cut off", strike=on_processes.cut_off, places=(HOSTS,)),
    Fault(name="host cut off, back after a minute", strike=on_processes.back_after_a_minute, places=(HOSTS,)),
    Fault(name="object store full", strike=on_services.fill_object_store, places=(JOINED, HOSTS)),
    _disk_full("study", "runs"),
    _disk_full("checkpoint", "checkpoints"),
    _disk_full("cache", "cache", strike=on_files.fill_cache, kinds=("phantom",)),
    _disk_full("report", "report"),
    Fault(name="checkpoint truncated", strike=on_files.truncate_checkpoint),
    Fault(name="cache truncated", strike=on_files.truncate_cache, prepare=on_files.own_cache, kinds=("phantom",)),
    Fault(
        name="driver's clock set back",
        strike=on_services.set_clock_back,
        prepare=on_services.with_faked_clock,
        places=(JOINED,),
    ),
    Fault(
        name="PostgreSQL restarted",
        strike=on_services.restart_server,
        prepare=on_services.on_postgresql,
        places=(OWN, JOINED),
    ),
    _by_itself("memory leak", "leak", strike=by_trials.leaked, places=(OWN, JOINED)),
    _by_itself("NaN loss", "nan"),
    _by_itself("evaluation raises", "raise"),
)
