"""Does each guard of docs/security.md have a test that fails without it? Takes them out one by one, in a copy.

    python benchmarks/guards.py                            all of them, some 10 minutes on an idle core
    python benchmarks/guards.py --only "NIfTI" --no-results
    python benchmarks/guards.py --without-ray

A guard is a text of the code. It, what stands in its place without it, and which tests must then fail are data in
`guarding/`. All tests must pass with the guards. A test proves something where it fails by itself, by an assertion or
since what was held off came; not where what it needs can't be imported. Where several guards hold the same off, each
goes alone too. Writes benchmarks/results/guards-DATE.json and .md. Ends with 1 where a test passes without its guard.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from guarding import GUARDS
from guarding.guard import Cut, Guard
from guarding.trial import Ran, copied, import_libraries, run_tests

from tuner.environment import describe_environment
from tuner.markdown import escape

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"


def tried(guard: Guard, tree: Path, usual: Ran) -> dict[str, Any]:
    """What became of a guard's tests in `tree` without it; `usual` is how they end with it.

    `fails` says whether each of them did, and proves something; `came` why, or why not.
    """
    if broken := [test for test in guard.tests if not usual.passes(test)]:
        return {"fails": False, "came": f"with the guard, {broken[0]}: {usual.why(broken[0])}", "alone": ""}
    without = _without(guard.cuts, guard, tree)
    idle = [test for test in guard.tests if not without.proves(test)]
    came = f"{idle[0]}: {without.why(idle[0])}" if idle else without.why(guard.tests[0])
    alone = [_without((cut,), guard, tree) for cut in guard.cuts] if len(guard.cuts) > 1 else []
    needless = sum(all(ran.passes(test) for test in guard.tests) for ran in alone)
    return {"fails": not idle, "came": came, "alone": f"{needless} of {len(alone)} can go alone" if alone else ""}


def _without(cuts: tuple[Cut, ...], guard: Guard, tree: Path) -> Ran:
    before = {cut.file: (tree / cut.file).read_bytes() for cut in cuts}
    try:
        for cut in cuts:
            cut.make(tree)
        return run_tests(guard.tests, tree, bounded=not guard.with_ray)
    finally:
        for file, content in before.items():
            (tree / file).write_bytes(content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", action="append", default=[], help="some words of the part or the danger; may be given again"
    )
    parser.add_argument("--without-ray", action="store_true", help="leave out those whose tests start Ray")
    parser.add_argument("--no-results", action="store_true", help="write nothing into benchmarks/results")
    asked = parser.parse_args()
    chosen = [
        (part, guard)
        for part, guards in GUARDS.items()
        for guard in guards
        if not (guard.with_ray and asked.without_ray)
        and (not asked.only or any(words in f"{part}: {guard.danger}" for words in asked.only))
    ]
    for _, guard in chosen:
        for cut in guard.cuts:
            cut.check(ROOT)
    records: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="voxtune-guards-") as folder:
        tree = copied(ROOT, Path(folder))
        import_libraries()
        usual = run_tests(sorted({test for _, guard in chosen for test in guard.tests}), tree, bounded=False)
        for part, guard in chosen:
            record = {"part": part, **asdict(guard), **tried(guard, tree, usual)}
            records[guard.danger] = record
            print(
                f"{'fails' if record['fails'] else 'NO PROOF':<9} {guard.danger}\n          {record['came']}",
                flush=True,
            )
            if not asked.no_results:
                _write(records)  # what is cut short leaves what was tried
    proven = sum(record["fails"] for record in records.values())
    print(f"{proven} of {len(records)} guards have tests that fail without them")
    sys.exit(0 if proven == len(records) else 1)


def table(records: list[dict[str, Any]]) -> str:
    """Markdown, a row a guard."""
    lines = ["| part | held off | by | test | without it |", "| --- | --- | --- | --- | --- |"]
    for record in records:
        files = "<br>".join(f"`{file}`" for file in dict.fromkeys(cut["file"] for cut in record["cuts"]))
        tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in record["tests"])
        told = [record["came"] if record["fails"] else f"NO PROOF: {record['came']}", record["alone"], record["note"]]
        cells = [record["part"], escape(record["danger"]), files, tests, escape("; ".join(filter(None, told)))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _write(records: Mapping[str, dict[str, Any]]) -> None:
    """Write what was tried, in the table's order; what an earlier call of the day tried of the others stays."""
    target = RESULTS / f"guards-{date.today()}"
    file = target.with_suffix(".json")
    before = json.loads(file.read_text())["guards"] if file.is_file() else []
    known = {**{record["danger"]: record for record in before}, **records}
    dangers = [guard.danger for part in GUARDS.values() for guard in part]
    guards = [known[danger] for danger in dangers if danger in known]
    untried = [danger for danger in dangers if danger not in known]
    content = {
        "guards": guards,
        "not_tried": untried,
        "environment": {**describe_environment(), "command": "python benchmarks/guards.py"},
    }
    file.write_text(json.dumps(content, indent=1) + "\n")
    proven = sum(record["fails"] for record in guards)
    about = (
        f"{proven} of {len(guards)} guards have tests that pass with them and fail without them. Command: "
        "`python benchmarks/guards.py`, in one call or, by `--only`, in several; what was taken out and what stood in "
        "its place, hardware and versions are in the JSON file beside this one."
    )
    left = f"\n\nNot tried yet, {len(untried)}: {escape('; '.join(untried))}." if untried else ""
    target.with_suffix(".md").write_text(f"# Without its guard\n\n{about}\n\n{table(guards)}{left}\n")


if __name__ == "__main__":
    main()
