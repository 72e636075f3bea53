"""Good inputs, from which the others are made: written once a process, and removed when it ends."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from make_data import write_dataset

from trainables.dataset import Dataset
from trainables.layouts import read_dataset
from trainables.normalisation import ChannelNormalisation
from trainables.preprocessing import PreprocessingPlan
from trainables.targets import Targets

SHAPE = (9, 8, 10)
"""Voxels of the images: small, so that many can be tried."""

TARGETS = Targets(names=("class1", "class2"), members=((1,), (2,)), regions=False)
PLAN = PreprocessingPlan(spacing=(1.0, 1.0, 1.0), normalisation=(ChannelNormalisation(kind="zscore"),))


@cache
def place() -> Path:
    """A folder that lasts as long as the process."""
    folder = Path(tempfile.mkdtemp(prefix="voxtune-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def dataset_folder() -> Path:
    return write_dataset(place() / "Blobs", cases=3, shape=SHAPE)


@cache
def dataset() -> Dataset:
    return read_dataset(dataset_folder())
