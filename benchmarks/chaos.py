"""What survives what? One fault a run strikes a sweep while a trial trains, at a random moment.

    python benchmarks/chaos.py --runs 100 --seed 7          goes on where an earlier call with this seed stopped
    python benchmarks/chaos.py --runs 5 --only "trial killed"
    python benchmarks/chaos.py --table                      sums up all runs, and writes chaos-DATE.json and .md

The number of a run and the seed say which fault strikes what kind of sweep where and when. A run counts only if a
trial was RUNNING in the study, and its process alive and in the midst of training, when the fault struck. Afterwards
the sweep has to end by itself or by one `voxtune resume`, after what the error message told to do if there was one, and
what `faults/invariants.py` lists has to hold. It needs root: for network namespaces, small disks and control groups.
"""

import argparse
import json
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

from faults.all_faults import FAULTS
from faults.fault import HOSTS, JOINED, Fault, NotStruckError, Struck
from faults.invariants import broken
from faults.ledger import add_run, counted, read_runs, table
from faults.places import Hosts, Joined, Place, until
from faults.sweeps import PATIENCE, FaultSweep, Kind

from trainables.phantom import write_phantom
from tuner.environment import describe_environment

RESULTS = Path(__file__).parent / "results"
LEDGER = Path(tempfile.gettempdir()) / "chaos" / "runs.jsonl"
TRIES = 4
"""Moments that are tried until one meets a trial in training."""


class Bench:
    """The places and the data that runs share."""

    def __init__(self, base: Path, scores_file: Path, *, phantom: bool = True) -> None:
        self.base = base
        self.places: dict[str, Place] = {place.name: place for place in (Place(), Joined(), Hosts())}
        self.data = base / "Phantom"
        self.scores_file = scores_file
        self.scores = json.loads(scores_file.read_text()) if scores_file.is_file() else {}
        if phantom:
            write_phantom(self.data, cases=6, size=0.5, seed=0)

    def close(self) -> None:
        for place in self.places.values():
            place.close()

    def run(self, seed: int, number: int, fault: Fault, *, kind: Kind | None = None) -> dict[str, Any]:
        """One run, of a sweep of this kind if one is given; made again with another moment if nothing trained then."""
        for again in range(TRIES):
            draw = random.Random(f"{seed} {number} {again}")
            found = self._run(draw, fault, self.base / f"run-{seed}-{number}-{again}", kind)
            if found["outcome"] != "not struck":
                break
        return {"seed": seed, "run": number, "tries": again + 1, "fault": fault.name, **found}

    def _run(self, draw: random.Random, fault: Fault, folder: Path, kind: Kind | None) -> dict[str, Any]:
        # Most runs on the Ray that runs already: to start one takes longer than the sweep.
        likely = [place for place in fault.places for _ in range(2 if place == JOINED else 1)]
        place = self.places[draw.choice(likely)]
        drawn = draw.choice(fault.kinds)
        kind = kind or drawn
        place.enter()
        work = Path("/tmp") / folder.name if place.name == HOSTS else folder
        sweep = FaultSweep(place=place, kind=kind, shared=folder, work=work, data=self.data)
        sweep.changes["cache"] = str(self.base / "cache")
        struck = Struck(sweep, draw)
        found: dict[str, Any] = {"place": place.name, "sweep": kind}
        started = time.monotonic()
        try:
            fault.prepare(struck)
            sweep.write()
            sweep.drive()
            self._strike(struck, fault)
            found |= _outcome(struck, fault)
            problems = broken(sweep, fault, self.scores)
            found |= {"outcome": "broken" if problems else found["outcome"], "problems": problems}
        except NotStruckError as error:
            found |= {"outcome": "not struck", "problems": [str(error)]}
        except Exception as error:
            found |= {"outcome": "broken", "problems": [f"{type(error).__name__}: {error}", traceback.format_exc()]}
        finally:
            sweep.end()
            for thing in (struck.disk, struck.server, struck.group):
                if thing:
                    thing.end()
            if found.get("outcome") == "broken":
                found["kept"] = _keep(sweep)
            with suppress(TimeoutError):
                place.restore()
        if found["outcome"] != "broken":
            shutil.rmtree(folder, ignore_errors=True)
        self.scores_file.write_text(json.dumps(self.scores))
        return {**found, "proof": struck.proof, "seconds": round(time.monotonic() - started)}

    def _strike(self, struck: Struck, fault: Fault) -> None:
        """At a moment in which something trains."""
        sweep = struck.sweep
        if not fault.advances_by_plan:
            until(lambda: sweep.training() or sweep.ended(), seconds=PATIENCE, every=0.4, what="no trial began")
            time.sleep(struck.draw.uniform(0.0, 8.0 if sweep.kind == "toy" else 3.0))
            until(lambda: sweep.training() or sweep.ended(), seconds=PATIENCE, every=0.2, what="no trial trained")
            training = sweep.training()
            if not training or sweep.ended():
                raise NotStruckError("the sweep was over")
            sweep.see_family()
            sweep.compare()
            struck.proof |= {"training at the strike": training, "struck at": round(time.time(), 2)}
        fault.strike(struck)


def _outcome(struck: Struck, fault: Fault) -> dict[str, Any]:
    """Have the sweep end, as a user would."""
    sweep = struck.sweep
    codes = [sweep.wait()]
    outcome, told = "went on by itself", []
    if codes[-1] != 0:
        outcome = "resumed"
        output = sweep.output
        says_what_to_do = "Traceback" not in output and ("voxtune resume" in output or "free some" in output)
        if not fault.ends_driver and not says_what_to_do:
            told = [f"the driver ended with {codes[-1]} and did not say what to do: {output[-600:]}"]
        if codes[-1] not in (-9, 130):
            outcome = "told, then resumed"
        fault.mend(struck)
        codes.append(sweep.resume())
        if codes[-1] != 0:
            raise RuntimeError(f"resume ended with {codes[-1]}: {sweep.output[-1500:]}")
    else:
        if not sweep.directory.report_page.is_file() and "voxtune report" not in sweep.output:
            told = [f"there is no report, and nothing says what to do: {sweep.output[-600:]}"]
        fault.mend(struck)
    if told:
        raise RuntimeError(told[0])
    return {"outcome": outcome, "codes": codes, "said": _last_lines(sweep.output_file(0).read_text(errors="replace"))}


def _last_lines(text: str) -> str:
    return text[-300:]


def _keep(sweep: FaultSweep) -> str:
    """A copy of what a broken run left, to be looked at."""
    target = LEDGER.parent / "broken" / sweep.shared.name
    shutil.rmtree(target, ignore_errors=True)
    for source in {sweep.shared, sweep.directory.root}:
        with suppress(OSError, shutil.Error):
            shutil.copytree(source, target / source.name, ignore=shutil.ignore_patterns("*.pt", "disk", "server"))
    return str(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=len(FAULTS))
    parser.add_argument("--seed", type=int, default=None, help="drawn and printed by default")
    parser.add_argument("--only", choices=[fault.name for fault in FAULTS], default=None)
    parser.add_argument("--file", type=Path, default=LEDGER, help="where results are added to, a line a run")
    parser.add_argument("--minutes", type=float, default=None, help="begin no run after so long")
    parser.add_argument("--again", action="store_true", help="also the runs that broke something, once it is mended")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        return _sum_up(given.file)
    seed = random.SystemRandom().randrange(10_000) if given.seed is None else given.seed
    print(f"seed {seed}, results in {given.file}", flush=True)
    open_still = {"not struck", *(["broken"] if given.again else [])}
    ended = {(run["seed"], run["run"]) for run in counted(read_runs(given.file)) if run["outcome"] not in open_still}
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started ends
    base = Path(tempfile.mkdtemp(prefix="voxtune-chaos-", dir="/var/tmp"))
    base.chmod(0o755)
    given.file.parent.mkdir(parents=True, exist_ok=True)
    bench = Bench(base, given.file.with_suffix(".scores.json"))
    try:
        for number in range(given.runs):
            fault = fault_of(seed, number)
            if (seed, number) in ended or (given.only and fault.name != given.only):
                continue
            if given.minutes and time.monotonic() - began > 60 * given.minutes:
                break
            run = bench.run(seed, number, fault)
            add_run(given.file, run)
            print(
                f"{number}: {run['fault']}, {run['place']}, {run['sweep']}: {run['outcome']} "
                f"({run['seconds']} s, moment {run['tries']})"
            )
            print(*(f"    {problem}" for problem in run["problems"]), sep="\n", flush=True)
    finally:
        bench.close()
        shutil.rmtree(base, ignore_errors=True)


def fault_of(seed: int, number: int) -> Fault:
    """Every fault once, in an order that the seed draws, and then again."""
    turn, place = divmod(number, len(FAULTS))
    order = random.Random(f"order {seed} {turn}").sample(FAULTS, len(FAULTS))
    return order[place]


def _sum_up(file: Path) -> None:
    runs = counted(read_runs(file))
    text = table(runs, [fault.name for fault in FAULTS])
    print(text)
    seeds = sorted({run["seed"] for run in runs})
    turns = {seed: max(run["run"] for run in runs if run["seed"] == seed) // len(FAULTS) + 1 for seed in seeds}
    commands = [f"python benchmarks/chaos.py --runs {turns[seed] * len(FAULTS)} --seed {seed}" for seed in seeds]
    environment = {**describe_environment(), "command": "; ".join(commands)}
    content = {"runs": runs, "environment": environment, "libfaketime": _version_of("faketime")}
    target = RESULTS / f"chaos-{date.today()}"
    target.with_suffix(".json").write_text(_without_paths(json.dumps(content, indent=1)) + "\n")
    page = ["# What survives what", _about(runs, environment), text, *_findings(read_runs(file))]
    target.with_suffix(".md").write_text(_without_paths("\n\n".join(page)) + "\n")
    print(target.with_suffix(".json"), target.with_suffix(".md"))


def _without_paths(text: str) -> str:
    """Without the folders that were made for the runs."""
    return re.sub(r"(/var)?/tmp/[^ \"'\\]*?(run-\d+-\d+-\d+)", r"\2", text)


def _about(runs: Sequence[dict[str, Any]], environment: dict[str, Any]) -> str:
    kept = sum(run["outcome"] not in ("broken", "not struck") for run in runs)
    missing = [fault.name for fault in FAULTS if fault.name not in {run["fault"] for run in runs}]
    return (
        f"{kept} of {len(runs)} runs with the invariants kept, each the last of its seed and number. "
        f"Faults without a run yet: {', '.join(missing) or 'none'}. Hardware and versions are in the JSON file beside "
        f"this one; command: `{environment['command']}`."
    )


def _findings(runs: Sequence[dict[str, Any]]) -> list[str]:
    """What earlier tries of the same runs broke, and how often they missed."""
    broke = [
        f"- run {run['run']} of seed {run['seed']}, {run['fault']}: {run['problems'][0]}"
        for run in runs
        if run["outcome"] == "broken"
    ]
    missed = sum(run["outcome"] == "not struck" for run in runs)
    lines = ["## Tries before the last", f"{len(broke)} broke something and {missed} did not strike."]
    return [*lines, "\n".join(broke)] if broke else lines


def _version_of(package: str) -> str:
    found = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True)
    return found.stdout


if __name__ == "__main__":
    main()
