"""Whether a MONAI Bundle of a model labels as the model does: `python -m monai.bundle run` beside `voxtune predict`.

    python benchmarks/bundle_agreement.py \\
        --pair runs/hippocampus/best/model.pt ../shared/data/Task04_Hippocampus runs/hippocampus/split.json

Each `--pair MODEL DATASET CASES` is a model, a data set with labels, and which cases of it: a sweep's split.json, whose
test cases are taken, or `all`. The bundle is made anew, and run by an interpreter that has this one's libraries but not
voxtune (`without_voxtune.py`). Compared are the label files, voxel by voxel, their headers, and the Dice that
evaluate.json writes with that of `voxtune evaluate`.

Prints a table; writes benchmarks/results/bundle-DATE.json. Exit code 1 where fewer than 99.99 % of the voxels agree.
"""

import argparse
import csv
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from without_voxtune import python_without_voxtune, run_alone

from trainables.layouts import read_dataset
from trainables.model_file import load_model
from trainables.prediction import predict_files
from trainables.scoring import evaluate_dataset
from tuner.bundle import write_bundle
from tuner.bundle_source import BundleSource, read_notes
from tuner.environment import describe_environment

RESULTS = Path(__file__).parent / "results"
TARGET = 0.9999
INFERENCE = "configs/inference.json"
EVALUATION = "['configs/inference.json','configs/evaluate.json']"

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", nargs=3, action="append", required=True, metavar=("MODEL", "DATASET", "CASES"))
    parser.add_argument("--most", type=int, help="of each data set at most so many cases")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS / f"bundle-{date.today()}.json")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        python = python_without_voxtune(Path(folder) / "python")
        for number, (model, dataset, cases) in enumerate(arguments.pair):
            names = _cases(Path(dataset), cases)[: arguments.most]
            rows.append(
                _compare(Path(model), Path(dataset), names, python, Path(folder) / str(number), arguments.threads)
            )
            print(_told(rows[-1]), flush=True)
    packages = {name: metadata.version(name) for name in ("pytorch-ignite", "fire")}
    content = {"date": str(date.today()), "rows": rows, "packages": packages, "environment": describe_environment()}
    arguments.output.write_text(json.dumps(content, indent=1) + "\n")
    sys.exit(any(row["agreement"] < TARGET for row in rows))


def _cases(dataset: Path, cases: str) -> list[str]:
    names = read_dataset(dataset).case_names if cases == "all" else json.loads(Path(cases).read_text())["test"]
    return list(names)


def _compare(model_file: Path, folder: Path, names: Sequence[str], python: Path, scratch: Path, threads: int) -> Row:
    scratch.mkdir()
    model, dataset = load_model(model_file), read_dataset(folder)
    bundle, ours, theirs, scores = (scratch / part for part in ("bundle", "ours", "theirs", "scores"))
    write_bundle(BundleSource(model=model, data=read_notes(folder)), bundle)
    images = [case.image for case in dataset.cases if case.name in set(names)]
    began = time.perf_counter()
    predict_files([model], images, ours)
    own_seconds = time.perf_counter() - began

    def run_bundle(config: str, *arguments: str) -> float:
        started = time.perf_counter()
        command = ("-m", "monai.bundle", "run", "--config_file", config, *arguments)
        ended = run_alone(python, *command, cwd=bundle, threads=threads)
        if ended.returncode:
            raise RuntimeError(ended.stderr[-5000:])
        return time.perf_counter() - started

    seconds = run_bundle(
        INFERENCE, "--images", str([list(map(str, image.files)) for image in images]), f"--output_dir={theirs}"
    )
    run_bundle(EVALUATION, f"--dataset_dir={dataset.source}", "--names", str(list(names)), f"--output_dir={scores}")
    targets = len(model.targets.names)
    with (scores / "val_mean_dice_raw.csv").open() as file:
        found = [float(value) for line in list(csv.reader(file))[1:] for value in line[1 : 1 + targets]]
    expected = [row.dice for row in evaluate_dataset([model], dataset, names)]
    return {
        "data": dataset.name,
        "network": model.network.architecture,
        "spacing_mm": list(model.plan.spacing),
        "patch_size": list(model.patch_size),
        "regions": model.targets.regions,
        **_differences(ours, theirs),
        "dice": float(np.mean(expected)),
        "largest_dice_difference": float(np.abs(np.subtract(found, expected)).max()),
        "predict_seconds": round(own_seconds, 1),
        "bundle_seconds_with_start": round(seconds, 1),
    }


def _differences(ours: Path, theirs: Path) -> Row:
    voxels = differing = labelled = headers = 0
    worst = 1.0
    files = sorted(ours.iterdir())
    for file in files:
        one: Any = nib.load(file)
        other: Any = nib.load(theirs / file.name)
        own, found = np.asarray(one.dataobj), np.asarray(other.dataobj)
        assert own.shape == found.shape, f"{file.name}: {own.shape} and {found.shape}"
        other_values = int((own != found).sum())
        voxels += own.size
        differing += other_values
        labelled += int(((own != 0) | (found != 0)).sum())
        worst = min(worst, 1 - other_values / own.size)
        headers += one.header != other.header
    return {
        "cases": len(files),
        "voxels": voxels,
        "labelled_voxels": labelled,
        "differing_voxels": differing,
        "agreement": 1 - differing / voxels,
        "worst_case_agreement": worst,
        "differing_headers": headers,
    }


def _told(row: Row) -> str:
    return (
        f"{row['data']}: {row['cases']} cases, {row['differing_voxels']} of {row['voxels']} voxels differ "
        f"({row['labelled_voxels']} labelled), agreement {row['agreement']:.6%}, worst case "
        f"{row['worst_case_agreement']:.6%}; {row['differing_headers']} headers differ; Dice {row['dice']:.4f}, "
        f"largest difference {row['largest_dice_difference']:.1e}"
    )


if __name__ == "__main__":
    main()
