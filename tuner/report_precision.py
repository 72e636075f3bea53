"""The report's chapter on precision: what each number format took on each device, and which trials were given."""

from collections.abc import Iterator, Mapping
from typing import Any

from trainables.precision_table import TOLERANCE, FormatCheck, PrecisionCheck
from tuner.environment import PRECISION_CHECKS
from tuner.markdown import escape, table


def precision(environment: Mapping[str, Any]) -> Iterator[str]:
    """Of the checks that the sweep's `environment.json` holds; nothing where there are none."""
    checks = [PrecisionCheck.from_mapping(check) for check in environment.get(PRECISION_CHECKS, [])]
    if not checks:
        return
    for check in checks:
        size = "x".join(map(str, check.patch_size))
        device = "one core of the CPU" if check.device == "cpu" else check.device
        yield (
            f"On {escape(device)}, a training step of {check.batch_size} x {size} voxels. A format agrees with fp32 if "
            "the first step's gradient is no farther from it, as a share of its length, than "
            f"{', '.join(f'{limit:g} ({name})' for name, limit in TOLERANCE.items() if name != 'fp32')}."
        )
        header = ("precision", "memory format", "step, ms", "gradient error", "")
        yield table(header, [_row(row, chosen=row == check.chosen) for row in check.rows])
        if check.fault:
            yield f"Known of these libraries: {escape(check.fault)}."


def _row(row: FormatCheck, *, chosen: bool) -> list[str]:
    remark = row.failure or ("" if row.agrees else "does not agree with fp32")
    return [
        row.precision,
        row.memory_format.replace("_", " "),
        "" if row.step_seconds is None else f"{1e3 * row.step_seconds:.1f}",
        "" if row.gradient_error is None else f"{row.gradient_error:.1g}",
        "what `auto` means here" if chosen else escape(remark),
    ]
