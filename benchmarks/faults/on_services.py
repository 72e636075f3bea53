"""Strikes on what a sweep relies on: Ray's object store, the clock, the database."""

import os
import subprocess
import sys
import time
from pathlib import Path

from faults.fault import NotStruckError, Struck
from faults.places import STORE, Hosts, until
from faults.server import Server

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")

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


def fill_object_store(struck: Struck) -> None:
    """Another program maps more than the store holds, for a quarter of a minute."""
    place = struck.sweep.place
    address = "auto" if isinstance(place, Hosts) else place.address[1]
    command = place.command(struck.sweep.work, sys.executable, "-c", FILL_STORE, address, STORE)
    environment = {**os.environ, "RAY_AUTH_MODE": "token", **place.environment}
    filled = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    held = int(filled.stdout.split()[-1]) if filled.stdout.split() else 0
    if held < STORE:
        raise NotStruckError(f"the store did not fill: {held} of {STORE} bytes; {filled.stderr[-300:]}")
    struck.proof["bytes held in the object store"] = held


def with_faked_clock(struck: Struck) -> None:
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


def set_clock_back(struck: Struck) -> None:
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


def on_postgresql(struck: Struck) -> None:
    struck.server = Server.start(struck.sweep.shared / "server")
    struck.sweep.changes["storage"] = struck.server.url


def restart_server(struck: Struck) -> None:
    assert struck.server
    struck.server.stop()
    time.sleep(struck.draw.uniform(0.0, 20.0))
    struck.server.begin()
    struck.proof["server restarted"] = True
