"""Writes the study of mixed precision: Markdown with tables and pictures, CSV, JSON."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from trainables.segmentation_config import patch_text
from trainables.step_times import PARTS
from tuner.amp_plots import curves_chart, time_chart
from tuner.amp_study import AmpStudy, Cell
from tuner.files import replace_file, write_text
from tuner.markdown import escape, made_with, spread, table

V100 = {
    ((128, 128, 128), 2): (0.362, 0.181),
    ((128, 128, 128), 8): (1.381, 0.515),
    ((160, 160, 160), 8): (1.950, 1.010),
}
"""Seconds of a step in fp32 and with AMP on a V100, by patch and batch: Yang 2020, original 3D U-Net."""

ONLY_A_TEST = (
    "This ran on a CPU, whose half precision may be emulated: it shows that the study works, and says nothing about "
    "what mixed precision brings on a GPU."
)


def write_amp_study(study: AmpStudy, folder: Path, environment: Mapping[str, Any]) -> Path:
    """Write `study.md` with its tables and pictures, the tables as CSV, and `study.json`. Returns the first."""
    tables = {
        "steps": step_table(study),
        "fits": fits_table(study),
        "curves": pd.DataFrame([asdict(point) for point in study.curves]),
        "largest": largest_table(study),
    }
    for name, frame in tables.items():
        write_text(folder / f"{name}.csv", frame.to_csv(index=False, lineterminator="\n"))
    if study.curves:
        for name, figure in (("curves.png", curves_chart(study)), ("time_to_dice.png", time_chart(study))):
            replace_file(folder / name, partial(figure.savefig, format="png"))
    content = json.dumps({"study": study.to_mapping(), "environment": environment}, indent=1)
    write_text(folder / "study.json", content + "\n")
    return write_text(folder / "study.md", "\n\n".join(_page(study, environment)) + "\n")


def step_table(study: AmpStudy) -> pd.DataFrame:
    """A row for each patch, batch and precision: seconds by part (median), quartiles of the total, speed-up, memory."""
    plain = {(cell.patch, cell.batch): _total(cell) for cell in study.cells if cell.precision == "fp32"}
    rows = []
    for cell in study.cells:
        spreads, before, now = cell.times.seconds, plain[cell.patch, cell.batch], _total(cell)
        source = V100.get((cell.patch, cell.batch))
        rows.append(
            {
                "patch": patch_text(cell.patch),
                "batch": cell.batch,
                "precision": cell.precision,
                **{part: spreads[part].median if spreads else None for part in ("total", *PARTS)},
                "total_low": spreads["total"].low if spreads else None,
                "total_high": spreads["total"].high if spreads else None,
                "speed_up": before / now if before and now else None,
                "v100": source and source[cell.precision != "fp32"],
                "v100_speed_up": source and (1.0 if cell.precision == "fp32" else source[0] / source[1]),
                "peak_gib": cell.times.peak_gib,
                "estimated_gib": cell.estimated_gib,
                "steps": cell.times.steps,
                "failure": cell.times.failure,
            }
        )
    return pd.DataFrame(rows)


def fits_table(study: AmpStudy) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "precision": row.precision,
                "memory_gib": row.memory_gib,
                **{f"batch_{p}": n for p, n in row.batches.items()},
            }
            for row in study.fits
        ]
    )


def largest_table(study: AmpStudy) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {key: value for key, value in asdict(row).items() if key != "dice"}
            | {f"dice_{seed}": dice for seed, dice in enumerate(row.dice)}
            for row in study.largest
        ]
    )


def _total(cell: Cell) -> float | None:
    return cell.times.seconds["total"].median if cell.times.seconds else None


def _page(study: AmpStudy, environment: Mapping[str, Any]) -> Iterator[str]:
    settings = study.settings
    yield "# Mixed precision against fp32"
    yield (
        f"{settings.network}, width {settings.width}, {settings.levels} levels, on "
        f"{escape(environment.get('device', settings.device))}. Layout and questions as in Yang 2020 (mixed precision "
        "for 3D medical image segmentation)."
    )
    if settings.device == "cpu":
        yield ONLY_A_TEST
    yield "## Made with"
    yield made_with(environment)
    yield "## 1. A training step"
    yield (
        "Seconds, medians of the steps; in brackets the quartiles of the total. The source's V100 had the original 3D "
        "U-Net."
    )
    yield _steps(study)
    yield "## 2. Memory"
    yield _memory(study)
    yield f"The most patches in a batch that fit in {study.fits[0].memory_gib:.1f} GiB, by the estimate:"
    yield _fits(study)
    if not study.curves:
        return
    yield "## 3. Learning"
    yield "![Loss and validation Dice over the steps, for each precision](curves.png)"
    yield "![Training time until a Dice is reached, for each precision](time_to_dice.png)"
    if not study.largest:
        return
    yield "## 4. The largest network in the same memory"
    yield (
        f"In the {study.largest[0].memory_gib:.2f} GiB that fp32 needs for this network on patches of "
        f"{patch_text(settings.patches[0])}, by the estimate: the largest that each precision fits, and its validation "
        f"Dice after {settings.seconds:g} s of training."
    )
    yield _largest(study)


def _steps(study: AmpStudy) -> str:
    rows = []
    for row in step_table(study).to_dict("records"):
        if isinstance(row["failure"], str):
            times = [row["failure"], *[""] * 5]
        else:
            total = f"{row['total']:.4f} ({row['total_low']:.4f} to {row['total_high']:.4f})"
            times = [total, *(f"{row[part]:.4f}" for part in PARTS), _times(row["speed_up"])]
        source = "" if pd.isna(row["v100"]) else f"{row['v100']:.3f} s, {_times(row['v100_speed_up'])}"
        rows.append([row["patch"], str(row["batch"]), row["precision"], *times, source])
    return table(("patch", "batch", "precision", "total", *PARTS, "speed-up", "source's V100"), rows)


def _memory(study: AmpStudy) -> str:
    plain = {(c.patch, c.batch): c for c in study.cells if c.precision == "fp32"}
    rows = []
    for cell in study.cells:
        before = plain[cell.patch, cell.batch]
        measured, reference = cell.times.peak_gib, before.times.peak_gib
        rows.append(
            [
                patch_text(cell.patch),
                str(cell.batch),
                cell.precision,
                cell.times.failure or ("not measured on a CPU" if measured is None else f"{measured:.2f}"),
                f"{measured / reference:.2f}" if measured and reference else "",
                f"{cell.estimated_gib:.2f}",
                f"{cell.estimated_gib / before.estimated_gib:.2f}",
            ]
        )
    header = ("patch", "batch", "precision", "peak, GiB", "of fp32", "estimated, GiB", "of fp32")
    return table(header, rows)


def _fits(study: AmpStudy) -> str:
    sizes = list(study.fits[0].batches)
    return table(
        ("precision", *(f"patch {size}" for size in sizes)),
        [[row.precision, *(str(row.batches[size]) for size in sizes)] for row in study.fits],
    )


def _largest(study: AmpStudy) -> str:
    return table(
        ("precision", "width", "levels", "parameters", "estimated, GiB", "steps", "Dice"),
        [
            [
                row.precision,
                str(row.width),
                str(row.levels),
                f"{row.parameters:,}",
                f"{row.estimated_gib:.2f}",
                f"{row.steps:.0f}",
                spread(pd.Series(row.dice)),
            ]
            for row in study.largest
        ],
    )


def _times(ratio: float | None) -> str:
    return "" if ratio is None or pd.isna(ratio) else f"x {ratio:.2f}"
