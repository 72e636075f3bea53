"""What this machine can do for a sweep, and what is wrong with it.

`machine` asks the kernel and torch for facts; `checks_machine` and `checks_software` hold them against what voxtune and
its libraries need; here they are put in a row.
"""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from tuner import checks_machine, checks_software
from tuner.check import Check, Status
from tuner.config import cache_folder

STYLES: dict[Status, str] = {"ok": "green", "note": "yellow", "problem": "bold red"}


def diagnose(
    *, cache: Path | None = None, runs: Path = Path("runs"), folder: Path | None = None, start_ray: bool = False
) -> list[Check]:
    """Look at everything that a sweep on this machine depends on.

    Args:
        cache: folder of preprocessed volumes; None means the one that sweeps use by default.
        runs: folder of the sweeps' directories.
        folder: where `voxtune run` would be called; the current one by default.
        start_ray: whether to start Ray too, which takes some seconds.
    """
    checks = [
        checks_software.check_python(),
        *checks_software.check_libraries(),
        checks_machine.check_cores(),
        checks_machine.check_memory(),
        checks_machine.check_shared_memory(),
        checks_machine.check_open_files(),
        checks_machine.check_folder("cache", cache_folder(cache)),
        checks_machine.check_folder("runs", runs),
        checks_machine.check_temporary_disk(),
        *checks_machine.check_devices(),
        checks_software.check_convolutions(),
        checks_machine.check_half_precision(),
        checks_software.check_shadowing(folder or Path.cwd()),
        checks_software.check_token(),
    ]
    return [*checks, checks_software.check_ray()] if start_ray else checks


def doctor_table(checks: Sequence[Check]) -> Table:
    """One row a check, advice below what was found."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("check", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("found", overflow="fold")
    for check in checks:
        found = Text(check.found)
        if check.advice:
            found.append(f"\n{check.advice}", style="italic")
        table.add_row(Text(check.name), Text(check.status, style=STYLES[check.status]), found)
    return table
