"""Is there an input that voxtune neither takes nor refuses with a clear error? Files as people may send them, broken.

    python benchmarks/fuzz.py --minutes 25 --seed 7         all subjects, each its share of the time
    python benchmarks/fuzz.py --minutes 2 --only "model file"

Every input starts from a good one, in which a few keys, types, values or bytes are changed (`fuzzing/`). It is taken or
refused with an error made for users; what is a finding: any other error, more than 10 s, more than 1 GiB of memory,
a change of anything outside the folder of the input, or a program started. Findings are counted by the line of voxtune
where they rose; the first input of each is kept. Writes benchmarks/results/fuzz-DATE.json and .md. Ends with 1 where
anything was found.
"""

import argparse
import faulthandler
import json
import logging
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from fuzzing.guard import WAITING, Finding, Subject, place_of, tried
from fuzzing.subjects import SUBJECTS
from hypothesis import HealthCheck, Phase, given, seed, settings

from tuner.environment import describe_environment

RESULTS = Path(__file__).parent / "results"
FINDINGS = Path(tempfile.gettempdir()) / "fuzz-findings"
ROUND = 50
"""Inputs between two looks at the clock."""


@dataclass
class Tally:
    """What came of one subject's inputs."""

    subject: str
    taken: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    findings: Counter[str] = field(default_factory=Counter)

    @property
    def inputs(self) -> int:
        return self.taken + self.refused + self.findings.total()


def fuzz(subject: Subject, *, seconds: float, start: int, kept: Path) -> Tally:
    """Try inputs for so many seconds."""
    tally = Tally(subject.name)
    turn = 0
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # what is written is synced each time
    with tempfile.TemporaryDirectory(prefix="voxtune-fuzz-", dir=memory) as folder:
        subject.warm_up(Path(folder))
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            _round(subject, random.Random(f"{start} {subject.name} {turn}").getrandbits(64), Path(folder), tally, kept)
            turn += 1
    tally.seconds = time.monotonic() - began
    return tally


def _round(subject: Subject, number: int, folder: Path, tally: Tally, kept: Path) -> None:
    @seed(number)
    @settings(
        max_examples=ROUND,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(subject.inputs())
    def one(given: Any) -> None:
        # An alarm does not reach into C: there the process ends, and says where.
        faulthandler.dump_traceback_later(2 * WAITING, exit=True)
        began = time.process_time()
        try:
            if tried(subject, given, folder):
                tally.taken += 1
            else:
                tally.refused += 1
        except Finding as finding:
            place = f"{finding.__cause__ and type(finding.__cause__).__name__}: {place_of(finding)}"
            if place not in tally.findings:
                _keep(subject, given, finding, place, kept)
            tally.findings[place] += 1
        finally:
            faulthandler.cancel_dump_traceback_later()
        tally.slowest = max(tally.slowest, time.process_time() - began)

    one()


def _keep(subject: Subject, given: Any, finding: Finding, place: str, kept: Path) -> None:
    kept.mkdir(parents=True, exist_ok=True)
    file = kept / f"{subject.name.replace(' ', '_')}-{len(list(kept.iterdir())):03d}.txt"
    told = "".join(traceback.format_exception(finding))
    file.write_text(f"{finding}\n{place}\n\n{told}\n\n{given!r}\n", errors="replace")
    print(f"    {place}\n        {str(finding)[:200]!r}\n        {file}", flush=True)


def table(tallies: list[Tally]) -> str:
    """Markdown."""
    rows = [["subject", "inputs", "taken", "refused", "findings", "s", "slowest, CPU s"], ["---", *["---:"] * 6]]
    for tally in tallies:
        numbers = (tally.inputs, tally.taken, tally.refused, tally.findings.total())
        rows.append([tally.subject, *(f"{n:,}" for n in numbers), f"{tally.seconds:.0f}", f"{tally.slowest:.2f}"])
    sums = [
        sum(column)
        for column in zip(*((t.inputs, t.taken, t.refused, t.findings.total()) for t in tallies), strict=True)
    ]
    seconds, slowest = sum(t.seconds for t in tallies), max(t.slowest for t in tallies)
    rows.append(["all", *(f"{n:,}" for n in sums), f"{seconds:.0f}", f"{slowest:.2f}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, help="over all subjects")
    parser.add_argument("--seed", type=int, default=None, help="drawn and printed by default")
    parser.add_argument("--only", action="append", choices=sorted(SUBJECTS), help="a subject; may be given again")
    parser.add_argument("--findings", type=Path, default=FINDINGS, help="folder for the inputs of findings")
    parser.add_argument("--no-results", action="store_true", help="write nothing into benchmarks/results")
    asked = parser.parse_args()
    start = random.SystemRandom().randrange(10_000) if asked.seed is None else asked.seed
    print(f"seed {start}", flush=True)
    for library in ("voxtune", "optuna", "nibabel"):  # they tell each oddity of what they read
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    chosen = [SUBJECTS[name] for name in asked.only or SUBJECTS]
    tallies = []
    for subject in chosen:
        seconds = 60 * asked.minutes / len(chosen)
        tallies.append(fuzz(subject, seconds=seconds, start=start, kept=asked.findings))
        print(f"{subject.name}: {tallies[-1].inputs:,} inputs", flush=True)
        if not asked.no_results:
            _write(tallies, start)  # what is cut short leaves what was tried
    print(table(tallies))
    sys.exit(1 if any(tally.findings for tally in tallies) else 0)


def _write(tallies: list[Tally], start: int) -> None:
    environment = {**describe_environment(), "seed": start}
    content = {"subjects": [{**vars(tally), "inputs": tally.inputs} for tally in tallies], "environment": environment}
    target = RESULTS / f"fuzz-{date.today()}"
    target.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")
    command = f"python benchmarks/{' '.join(environment['command'])}"
    about = f"Command: `{command}`, seed {start}; hardware and versions are in the JSON file beside this one."
    target.with_suffix(".md").write_text(f"# Inputs that are nearly right\n\n{about}\n\n{table(tallies)}\n")


if __name__ == "__main__":
    main()
