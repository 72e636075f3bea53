"""Models and the states of trials: torch's archives, changed by their content, their bytes and their pickle."""

import io
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from make_model import make_model

from fuzzing.good import SHAPE, place
from fuzzing.guard import Subject
from fuzzing.values import FOREIGN, SCALARS, garbled, mutated
from trainables.intensity_range import IntensityRange
from trainables.model_file import load_models, save_model
from trainables.predictor import Predictor, doubtful_flips

TENSORS: SearchStrategy[Any] = st.sampled_from(
    [
        torch.zeros(()),
        torch.zeros(3, dtype=torch.float64),
        torch.full((4,), float("nan")),
        torch.zeros(1).expand(2**40),
        torch.zeros(4, 1, 3, 3, 3).to_sparse(),
        torch.zeros(2**3, dtype=torch.complex64),
        torch.nn.Parameter(torch.zeros(4)),
        torch.empty(2**20, device="meta"),
    ]
)


def _shared(depth: int) -> list[Any]:
    """Small in a pickle, which writes each part once, and 2**depth values to whoever walks through it."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value, value]
    return value


ODD: SearchStrategy[Any] = st.one_of(
    FOREIGN,
    TENSORS,
    st.integers(20, 60).map(_shared),
    st.sampled_from([(1, 2), {1: 2}, {1, 2}, b"x", 1j, torch.float32, torch.Size([1]), 10**5000]),
)

TRAINING = {
    "batch_size": 2,
    "micro_batch": 1,
    "precision": "fp32",
    "overlap": 0.25,
    "largest_component": True,
    "memory_format": "auto",
    "flips": "x",
    "patch_size": [16, 16, 16],
}


@cache
def _good() -> bytes:
    seen = IntensityRange(lowest=(-3.0, 0.0), highest=(1.0, 200.0), foreground=(0.0, 100.0))
    path = place() / "model.pt"
    save_model(path, make_model(training=TRAINING, intensities=(seen,)))
    return path.read_bytes()


@st.composite
def _by_content(draw: DrawFn) -> bytes:
    content = torch.load(io.BytesIO(_good()), weights_only=True)
    if draw(st.booleans()):
        changed = draw(mutated({key: value for key, value in content.items() if key != "weights"}, foreign=ODD))
        content = {**changed, "weights": content["weights"]} if isinstance(changed, dict) else changed
    else:
        name = draw(st.sampled_from(sorted(content["weights"])))
        match draw(st.sampled_from(("remove", "replace", "rename", "all"))):
            case "remove":
                del content["weights"][name]
            case "replace":
                content["weights"][name] = draw(st.one_of(TENSORS, SCALARS))
            case "rename":
                content["weights"][draw(st.text(max_size=5))] = content["weights"].pop(name)
            case "all":
                content["weights"] = draw(ODD)
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


@st.composite
def _by_bytes(draw: DrawFn) -> bytes:
    return draw(garbled(_good(), tokens=_OPCODES))


@st.composite
def _by_pickle(draw: DrawFn) -> bytes:
    """An entry of the archive changed, and the archive's checksums right."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_good())) as source, zipfile.ZipFile(written, "w") as target:
        changed = draw(st.sampled_from(source.namelist()[:8]))
        for name in source.namelist():
            content = source.read(name)
            if name == changed:
                content = draw(garbled(content, tokens=_OPCODES))
            target.writestr(name, content)
    return written.getvalue()


_OPCODES = (
    *(
        b"cos\nsystem\n",
        b"cbuiltins\neval\n",
        b"cbuiltins\nbytearray\n",
        b"ctorch\nTensor\n",
        b"\x85R",
        b"(",
        b"0",
        b".",
    ),
    *(
        b"J\xff\xff\xff\x7f",
        b"\x8a\x09" + b"\xff" * 9,
        b"2",
        b"]",
        b"}",
        b"h\x00",
        b"q\x00",
        b"\x8e" + b"\xff" * 8,
        b"Q",
    ),
)


def _use(content: bytes, folder: Path) -> None:
    """As `voxtune predict` does."""
    (folder / "model.pt").write_bytes(content)
    models = load_models(folder / "model.pt")
    doubtful_flips(models, "x")
    image = np.random.default_rng(0).normal(size=(len(models[0].modalities), *SHAPE)).astype(np.float32)
    label = Predictor(models, device="cpu").label(image, np.eye(4))
    assert label.shape == SHAPE


SUBJECTS = (
    Subject(
        name="model file",
        inputs=lambda: st.one_of(_by_content(), _by_content(), _by_pickle(), _by_bytes()),
        use=_use,
        good=_good,
        examples=60,
    ),
)
