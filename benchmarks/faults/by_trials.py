"""Strikes that a trial deals itself: it hangs, leaks memory, computes NaN or raises, as its plan says."""

import json
from collections.abc import Callable

from faults.disks import MemoryGroup
from faults.fault import NotStruckError, Struck
from faults.on_processes import short_timeout
from faults.places import until
from faults.trainables import GROUP, PLAN, STRUCK


def plan(fault: str) -> Callable[[Struck], None]:
    def prepare(struck: Struck) -> None:
        sweep = struck.sweep
        sweep.shared.mkdir(parents=True, exist_ok=True)
        again = fault in ("hang", "leak") and struck.draw.random() < 0.5
        plan = {"fault": fault, "at": struck.draw.randint(1, 6), "again": again}
        (sweep.shared / PLAN).write_text(json.dumps(plan))
        struck.proof["plan"] = plan
        if fault == "hang":
            short_timeout(struck)
        if fault == "leak":
            struck.group = MemoryGroup.make(mib=300)
            (sweep.shared / GROUP).write_text(str(struck.group.folder))

    return prepare


def struck_itself(struck: Struck) -> None:
    sweep = struck.sweep
    until(lambda: (sweep.shared / STRUCK).exists() or sweep.ended(), seconds=900, what="no trial came to the fault")
    struck.proof["trial"] = sweep.struck_trial()
    struck.proof["noted"] = [entry for entry in sweep.advances() if entry["what"] == "strike"]
    if not struck.proof["noted"]:
        raise NotStruckError("no trial came to the fault")


def leaked(struck: Struck) -> None:
    struck_itself(struck)
    assert struck.group
    group = struck.group
    until(lambda: group.kills() > 0 or struck.sweep.ended(), seconds=900, what="the kernel ended no process")
    struck.proof["processes that the kernel ended"] = group.kills()
    if not group.kills():
        raise NotStruckError("the kernel ended no process")
