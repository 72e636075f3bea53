"""Does guidance by coverage find inputs that chance does not? The inputs of fuzz.py, steered by atheris.

    python -m pip install atheris
    python benchmarks/fuzz_guided.py --minutes 10
    python benchmarks/fuzz_guided.py --minutes 2 --only "dataset.json"

atheris (libFuzzer) goes on from inputs that reached lines of voxtune which none had before; hypothesis turns its bytes
into the files that `fuzz.py` tries, and what a finding is, is the same. Only for what voxtune itself reads, since C++
and the libraries are not watched: torch's archives, images and SQLite files gain nothing from it. A process for each
subject. Writes benchmarks/results/fuzz_guided-DATE.json. Ends with 1 where anything was found.
"""

import argparse
import importlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

RESULTS = Path(__file__).parent / "results"
SUBJECTS = (
    *("sweep file", "configuration to train", "dataset.json", "dataset.json of nnU-Net", "table of cases"),
    *("groups file", "group expression", "file of cases", "study journal", "small files of a sweep"),
    *("index of cached volumes", "archive of a task"),
)
"""Those whose reading is Python."""


def guided(name: str, seconds: float) -> None:
    """Try inputs of one kind; prints what came of them as JSON, and ends the process."""
    import atheris

    with atheris.instrument_imports(include=["tuner", "trainables", "search_spaces"]):
        subject = importlib.import_module("fuzzing.subjects").SUBJECTS[name]
    guard: Any = importlib.import_module("fuzzing.guard")
    logging.disable()
    folder = Path(tempfile.mkdtemp())
    subject.warm_up(folder)
    counts, findings, lines = Counter[str](), Counter[str](), set[str]()
    began = time.monotonic()

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(subject.inputs())
    def one(value: Any) -> None:
        try:
            counts["taken" if guard.tried(subject, value, folder) else "refused"] += 1
        except guard.Finding as finding:
            findings[guard.place_of(finding)] += 1
            lines.add(f"{guard.place_of(finding)}: {str(finding)[:200]}")

    def next_input(content: bytes) -> None:
        one.hypothesis.fuzz_one_input(content)
        if time.monotonic() - began > seconds:
            told = {"subject": name, **counts, "findings": findings, "told": sorted(lines), "seconds": seconds}
            print(f"\n{json.dumps(told)}", flush=True)
            os._exit(0)  # libFuzzer ends no other way but by a crash

    atheris.Setup([sys.argv[0], "-max_len=4096", "-len_control=0", "-verbosity=0", "-rss_limit_mb=0"], next_input)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="over all subjects")
    parser.add_argument("--only", action="append", choices=SUBJECTS, help="a subject; may be given again")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        guided(asked.one, 60 * asked.minutes)
    chosen = asked.only or SUBJECTS
    found = []
    for name in chosen:
        command = [sys.executable, __file__, "--one", name, "--minutes", str(asked.minutes / len(chosen))]
        with tempfile.TemporaryDirectory(prefix="voxtune-fuzz-") as folder:  # its end leaves all that it made
            environment = {**os.environ, "TMPDIR": folder}
            ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if ran.returncode:
            sys.exit(f"{name}: {ran.stderr[-2000:]}")
        found.append(json.loads(ran.stdout.strip().splitlines()[-1]))
        print(found[-1], flush=True)
    # A subject's process must not have imported voxtune before atheris watches the imports.
    from tuner.environment import describe_environment

    target = RESULTS / f"fuzz_guided-{date.today()}.json"
    target.write_text(json.dumps({"subjects": found, "environment": describe_environment()}, indent=1) + "\n")
    sys.exit(1 if any(one["findings"] for one in found) else 0)


if __name__ == "__main__":
    main()
