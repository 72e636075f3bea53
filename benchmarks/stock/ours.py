"""`voxtune run` beside the stock programs: any sweep file, run as the command runs it, with Ray's start written down.

python -m stock.ours sweep.yaml --folder search    # in benchmarks/
"""

import argparse
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import ray

from stock.events import EventLog
from tuner.api import SweepConfig, run_sweep


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", type=Path)
    parser.add_argument("--folder", type=Path, required=True, help="where the search writes")
    given = parser.parse_args()
    given.folder.mkdir(parents=True)
    log = EventLog(given.folder / "events.jsonl")
    init = ray.init

    def timed(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        context = init(*arguments, **options)
        log.write("ray up", seconds=time.perf_counter() - started)
        return context

    with patch.object(ray, "init", timed):
        run_sweep(SweepConfig.read(given.sweep), runs=given.folder / "runs")
    log.write("ended")


if __name__ == "__main__":
    main()
