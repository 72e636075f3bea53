"""Preprocessed volumes, whose folder other people may write to as well."""

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from make_volumes import write_blobs

from fuzzing.good import SHAPE, place
from fuzzing.guard import Subject
from fuzzing.values import garbled, mutated
from trainables.volume_store import Volumes


@cache
def _folder() -> Path:
    return write_blobs(place() / "volumes", cases=2, shape=SHAPE).folder


def _good_index() -> bytes:
    return (_folder() / "index.json").read_bytes()


@st.composite
def _indexes(draw: DrawFn) -> bytes:
    content = _good_index()
    if draw(st.integers(0, 2)):
        return json.dumps(draw(mutated(json.loads(content)))).encode()
    return draw(garbled(content, tokens=(b"NaN", b"[" * 3000, b"9" * 5000, b"\xff", b"-1", b'"|O"', b'"<f8"')))


def _use(content: bytes, folder: Path) -> None:
    (folder / "index.json").write_bytes(content)
    shutil.copyfile(_folder() / "volumes.bin", folder / "volumes.bin")
    volumes = Volumes(folder)
    volumes.check()
    _ = volumes.plan, volumes.targets, volumes.modalities, volumes.intensities, volumes.shapes, volumes.channels
    volumes.size_of(volumes.names)
    for name in volumes.names:
        volume: Any = volumes[name]
        assert volume.image.ndim == 4
        assert volume.label.ndim == 3
        assert all(sample.ndim == 2 for sample in volume.foreground)


SUBJECTS = (Subject(name="index of cached volumes", inputs=_indexes, use=_use, good=_good_index, examples=60),)
