"""Does a label lie where its image lies, however the file has it? A model on real cases, stored in other ways.

    python benchmarks/orientation.py MODEL DATASET --split SPLIT.json [--ways 6]

Each case is written anew and labelled through files, as `voxtune predict` does it:

    as it is              what the rest is compared with
    axes                  its axes permuted and flipped, voxels untouched; the 48 ways in turn, `--ways` of them a case
    oblique               affine turned by 5 to 40 degrees about some axis through the middle, voxels untouched
    int16                 intensities in 4,000 steps with a slope and an intercept in the header
    0.7 mm ... 1x1x3 mm   image (cubic, smoothed before it is made coarser) and truth (each class linear, the highest)
                          resampled by scipy, independently of voxtune

Dice is against the truth stored in the same way, in the file's own voxels, the mean over classes; its ratio is to the
same case's as it is. Where the voxels are the same, `same` is the share of voxels whose label is that of the case as it
is, stored in the same way. Shape and affine of each label are compared with its image's. Writes
benchmarks/results/orientation-DATE.json.
"""

import argparse
import json
import sys
from collections.abc import Callable, Hashable, Sequence
from datetime import date
from functools import partial
from itertools import permutations, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import torch
from scipy import ndimage

from trainables.dataset import Case, ImageFiles
from trainables.dice import dice_score
from trainables.layouts import read_dataset
from trainables.model_file import Model, load_models
from trainables.prediction import predict_files
from tuner.environment import describe_environment

RESULTS = Path(__file__).parent / "results"
AS_IT_IS = "as it is"
WAYS = [
    np.stack([axes, flips], axis=1).astype(float)
    for axes in permutations(range(3))
    for flips in product((1, -1), repeat=3)
]
"""The ways to lay three axes, as nibabel's orientations."""

SPACINGS = {"0.7 mm": (0.7, 0.7, 0.7), "1.5 mm": (1.5, 1.5, 1.5), "2 mm": (2.0, 2.0, 2.0), "1x1x3 mm": (1.0, 1.0, 3.0)}
SHADES = 4000

Nifti = Any
Pair = tuple[Nifti, Nifti]
Store = Callable[[Nifti, Nifti, int], Pair]
"""Stores an image and its truth, of the case with this number, in another way."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model, or a folder of them")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--split", type=Path, help="a split.json, whose validation cases are taken; else all cases")
    parser.add_argument("--ways", type=int, default=6, help="of the 48 ways to lay the axes, how many a case")
    given = parser.parse_args()
    torch.set_num_threads(1)

    models = load_models(given.model)
    dataset = read_dataset(given.dataset)
    chosen = json.loads(given.split.read_text())["validation"] if given.split else dataset.case_names
    cases = [case for case in dataset.cases if case.name in set(chosen)]
    straight: dict[str, Nifti] = {}
    rows: list[dict[str, Any]] = []
    for kind, store in stores(given.ways):
        with TemporaryDirectory() as folder:
            rows += [{"kind": kind, **row} for row in label_all(models, cases, kind, store, Path(folder), straight)]
        print(f"{kind}: {len(rows)} labels so far", file=sys.stderr)
    frame = pd.DataFrame(rows)
    frame["ratio"] = frame["dice"] / frame["case"].map(frame[frame["kind"] == AS_IT_IS].set_index("case")["dice"])
    table = frame.groupby("kind", sort=False).agg(
        files=("case", "size"),
        dice=("dice", "mean"),
        ratio=("ratio", "mean"),
        lowest_ratio=("ratio", "min"),
        same=("same", "mean"),
        least_same=("same", "min"),
        grid_kept=("grid_kept", "all"),
    )
    print(table.to_string(float_format="{:.5f}".format))
    split = " --split split.json" if given.split else ""
    found = {
        "summary": plain(table.reset_index()),
        "cases": plain(frame.round(5)),
        "environment": {
            **describe_environment(),
            "command": f"python benchmarks/orientation.py MODEL {given.dataset.name}{split} --ways {given.ways}",
        },
    }
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"orientation-{date.today()}.json"
    file.write_text(json.dumps(found, indent=1) + "\n")
    print(f"written: {file}")


def plain(frame: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """Rows for JSON, which knows no NaN."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def stores(ways: int) -> list[tuple[str, Store]]:
    """Of each kind that the module's docstring has what it does; the cases as they are come first."""
    return [
        (AS_IT_IS, lambda image, truth, number: (image, truth)),
        *[("axes", partial(turned, ways=ways, turn=turn)) for turn in range(ways)],
        ("oblique", oblique),
        ("int16", in_integers),
        *[(name, partial(resampled, spacing=spacing)) for name, spacing in SPACINGS.items()],
    ]


def label_all(
    models: Sequence[Model], cases: Sequence[Case], kind: str, store: Store, folder: Path, straight: dict[str, Nifti]
) -> list[dict[str, Any]]:
    """Labels all `cases`, stored by `store`; `straight` keeps the labels of the cases as they are, by name."""
    targets = models[0].targets
    truths, images = [], []
    for number, case in enumerate(cases):
        image, truth = store(whole(case.image.files[0], np.float32), whole(case.label, np.uint8), number)
        images.append(folder / f"{case.name}.nii.gz")
        nib.save(image, images[-1])
        truths.append(np.asarray(truth.dataobj))
    outcome = predict_files(models, list(map(ImageFiles.of, images)), folder / "labels")
    assert not outcome.failed, outcome.failed
    rows = []
    for number, (case, image, file, truth) in enumerate(zip(cases, images, outcome.written, truths, strict=True)):
        found = whole(file, np.uint8)
        stored: Nifti = nib.load(image)
        label = np.asarray(found.dataobj)
        dice = dice_score(targets.encode(label), targets.encode(truth), targets)
        as_it_is = straight.setdefault(case.name, found)
        same = None
        if kind not in SPACINGS:
            same = float(np.mean(label == np.asarray(store(as_it_is, as_it_is, number)[1].dataobj)))
        rows.append(
            {
                "case": case.name,
                "axes": "".join(nib.aff2axcodes(stored.affine)),
                "dice": float(np.mean(list(dice.values()))),
                "same": same,
                "grid_kept": bool(found.shape == stored.shape and np.array_equal(found.affine, stored.affine)),
            }
        )
    return rows


def whole(path: Path, dtype: type) -> Nifti:
    """A NIfTI file in memory, in a header that says no more than its affine."""
    file: Nifti = nib.load(path)
    return nib.Nifti1Image(np.asarray(file.dataobj).astype(dtype), file.affine)


def turned(image: Nifti, truth: Nifti, number: int, *, ways: int, turn: int) -> Pair:
    way = WAYS[(number * ways + turn) % len(WAYS)]
    return image.as_reoriented(way), truth.as_reoriented(way)


def oblique(image: Nifti, truth: Nifti, number: int) -> Pair:
    rng = np.random.default_rng(number)
    axis = rng.normal(size=3)
    turn = np.eye(4)
    turn[:3, :3] = nib.quaternions.angle_axis2mat(np.radians(rng.uniform(5, 40)), axis)
    middle = image.affine @ [*(np.array(image.shape) / 2), 1]
    turn[:3, 3] = middle[:3] - turn[:3, :3] @ middle[:3]
    image, truth = (nib.Nifti1Image(np.asarray(nifti.dataobj), turn @ image.affine) for nifti in (image, truth))
    return image, truth


def in_integers(image: Nifti, truth: Nifti, number: int) -> Pair:
    values = np.asarray(image.dataobj)
    step = (values.max() - values.min()) / SHADES
    stored = nib.Nifti1Image(values.min() + np.rint((values - values.min()) / step) * step, image.affine)
    stored.set_data_dtype(np.int16)  # nibabel then writes slope and intercept
    return stored, truth


def resampled(image: Nifti, truth: Nifti, number: int, *, spacing: tuple[float, float, float]) -> Pair:
    """On voxels of about `spacing`, mm along the file's axes, over the same extent."""
    zoom = nib.affines.voxel_sizes(image.affine) / spacing
    shape = np.maximum(1, np.rint(np.array(image.shape) * zoom))
    zoom = shape / image.shape
    affine = image.affine @ nib.affines.from_matvec(np.diag(1 / zoom), (1 / zoom - 1) / 2)

    def zoomed(values: np.ndarray, order: int) -> np.ndarray:
        smooth = ndimage.gaussian_filter(values.astype(np.float32), np.maximum(0, (1 / zoom - 1) / 2), mode="nearest")
        return ndimage.zoom(smooth, zoom, order=order, mode="nearest", grid_mode=True)

    label = np.asarray(truth.dataobj)
    shares = np.stack([zoomed(label == value, 1) for value in range(int(label.max()) + 1)])
    return (
        nib.Nifti1Image(zoomed(np.asarray(image.dataobj), 3), affine),
        nib.Nifti1Image(shares.argmax(0).astype(np.uint8), affine),
    )


if __name__ == "__main__":
    main()
