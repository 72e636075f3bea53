import io
import os
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.errors import ModelFileError, SettingError
from trainables.intensity_range import IntensityRange
from trainables.model_file import FORMAT, READABLE, Model, load_model, load_models, save_model
from trainables.networks import NetworkConfig, build_network
from trainables.normalisation import ChannelNormalisation
from trainables.preprocessing import PreprocessingPlan
from trainables.targets import Targets

NETWORK = NetworkConfig(
    architecture="unet3d", in_channels=2, out_channels=3, width=4, levels=2, strides=((2, 2, 1),), normalisation="batch"
)
TRAINING = {"learning_rate": 1e-3, "overlap": 0.25, "largest_component": True, "patch_size": (8, 8, 4), "x": None}


def make_model(**changes: Any) -> Model:
    torch.manual_seed(0)
    parts: dict[str, Any] = {
        "network": NETWORK,
        "weights": build_network(NETWORK).state_dict(),
        "plan": PreprocessingPlan(
            spacing=(0.8, 0.8, 5),
            normalisation=(
                ChannelNormalisation(kind="ct", low=-50, high=200, mean=80, std=30),
                ChannelNormalisation(kind="zscore"),
            ),
        ),
        "targets": Targets(names=("liver", "tumour"), members=((1,), (2, 3)), regions=False),
        "modalities": ("CT", "PET"),
        "patch_size": (8, 8, 4),
        "training": TRAINING,
    }
    return Model(**parts | changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "best" / "model.pt"


def test_what_is_saved_is_loaded(path: Path) -> None:
    seen = IntensityRange(lowest=(-1024, -1000), highest=(900.5, 3000), foreground=(-20, 180))
    model = make_model(intensities=(seen, seen))
    save_model(path, model)
    loaded = load_model(path)
    for name in (
        "network",
        "plan",
        "targets",
        "modalities",
        "intensities",
        "patch_size",
        "version",
        "overlap",
        "largest_component",
    ):
        assert getattr(loaded, name) == getattr(model, name), name
    assert loaded.training == {**TRAINING, "patch_size": [8, 8, 4]}
    assert loaded.weights.keys() == model.weights.keys()
    assert all(torch.equal(loaded.weights[name], weight) for name, weight in model.weights.items())
    assert list(path.parent.iterdir()) == [path]


def test_the_network_predicts_as_before(path: Path) -> None:
    torch.manual_seed(1)
    network = build_network(NETWORK)
    with torch.no_grad():
        for _ in range(3):  # batch norm's running statistics are part of the model
            network(torch.randn(2, 2, 8, 8, 4))
    save_model(path, make_model(weights=network.state_dict()))
    image = torch.randn(1, 2, 16, 8, 4)
    built = load_model(path).build("cpu")
    assert not built.training
    assert not any(parameter.requires_grad for parameter in built.parameters())
    torch.testing.assert_close(built(image), network.eval()(image).detach())


def test_views_do_not_take_along_what_they_are_views_of(path: Path) -> None:
    weights = {name: torch.cat([w.reshape(-1), torch.zeros(10**6)]) for name, w in make_model().weights.items()}
    shapes = {name: w.shape for name, w in make_model().weights.items()}
    views = {name: w[: shapes[name].numel()].reshape(shapes[name]) for name, w in weights.items()}
    save_model(path, make_model(weights={**views, **{k: v for k, v in make_model().weights.items() if "num_" in k}}))
    assert path.stat().st_size < 200_000


def test_a_failed_save_leaves_the_old_model(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_model(path, make_model())
    before = path.read_bytes()

    def fail(_: object, file: io.BufferedWriter) -> None:
        file.write(b"PK half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_model(path, make_model())
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_only_plain_types_are_kept(path: Path) -> None:
    with pytest.raises(SettingError, match=r"training\.cache: .* is a PosixPath; only plain types"):
        save_model(path, make_model(training={"cache": Path("x")}))
    assert not path.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"modalities": ("CT",)},
            "in_channels: the network has 2, the preprocessing plan 2, and there are 1 modalities",
        ),
        (
            {"targets": Targets(names=("liver",), members=((1,),), regions=False)},
            "out_channels: the network has 3, the targets need 2",
        ),
        (
            {"intensities": (IntensityRange(lowest=(0, 1), highest=(2, 3), foreground=(1, 2)),)},
            "intensities: 1 are given for 2 channels",
        ),
        ({"patch_size": (9, 8, 4)}, "patch_size: 9 is not a multiple of 2"),
        ({"training": {"overlap": 1}}, "overlap: must be at least 0 and less than 1, got 1"),
        ({"training": {"batch_size": 0}}, "batch_size: must be a whole number above 0, got 0"),
        ({"training": {"largest_component": "no"}}, "largest_component: must be true or false, got 'no'"),
        ({"weights": {}}, "weights: [0-9]+ missing and 0 unknown for this network, e.g. '"),
    ],
)
def test_parts_that_do_not_fit(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        make_model(**changes)


def content_of(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def test_weights_of_another_network(path: Path) -> None:
    save_model(path, make_model())
    content = content_of(path)
    name = next(name for name, weight in content["weights"].items() if weight.ndim == 5)
    content["weights"][name] = content["weights"][name][:-1]
    torch.save(content, path)
    with pytest.raises(ModelFileError, match=rf"model\.pt: .*weights: '{name}' is float32 3x.*, this network needs"):
        load_model(path)
    content["weights"][name] = content_of(path)["weights"][name].double()
    torch.save(content, path)
    with pytest.raises(ModelFileError, match="is float64"):
        load_model(path)
    content["weights"]["more"] = content["weights"].pop(name)
    torch.save(content, path)
    with pytest.raises(ModelFileError, match="weights: 1 missing and 1 unknown"):
        load_model(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "voxtune model 99"}, f"format: '{READABLE[0]}' or '{FORMAT}' is needed, found 'voxtune model 99'"),
        ({"more": 1}, "keys: .* are needed, found .*'more'"),
        ({"plan": [1]}, "plan: must be a dict, found a list"),
        ({"plan": {}}, "'spacing'"),
        ({"plan": {"spacing": [1, 1, "a"], "normalisation": [], "crop": True}}, "must be real number"),
        ({"network": {"architecture": "unet3d"}}, "missing from the network's settings"),
        (
            {"network": make_model().network.to_mapping() | {"strides": [[torch.zeros(2), 2, 2]]}},
            "strides: must be 1 tri",
        ),
        ({"targets": {"names": ["a"]}}, "need names, members and regions"),
        ({"plan": make_model().plan.to_mapping() | {"crop": "no"}}, "crop: must be true or false, received 'no'"),
        ({"modalities": [1, 2]}, "modalities: must be names"),
        ({"patch_size": [8, 8.0, 4]}, "patch_size: must be three whole numbers"),
        ({"weights": {"a": 1}}, "weights: must be tensors by name"),
        ({"training": {"a": torch.zeros(1)}}, r"training\.a: tensor"),
    ],
)
def test_content_of_the_wrong_kind(path: Path, change: dict[str, Any], message: str) -> None:
    save_model(path, make_model())
    torch.save(content_of(path) | change, path)
    with pytest.raises(ModelFileError, match=message) as caught:
        load_model(path)
    assert str(caught.value).startswith(f"{path}: not a model that this version can use: ")


def test_not_a_model(tmp_path: Path) -> None:
    def message_of(content: bytes) -> str:
        (tmp_path / "m.pt").write_bytes(content)
        with pytest.raises(ModelFileError) as caught:
            load_model(tmp_path / "m.pt")
        return str(caught.value).removeprefix(f"{tmp_path / 'm.pt'}: ")

    with pytest.raises(ModelFileError, match=r"none\.pt: no such file"):
        load_model(tmp_path / "none.pt")
    with pytest.raises(ModelFileError, match="no such file"):
        load_model(tmp_path)
    assert message_of(b"") == "not a voxtune model"
    assert message_of(b"some text") == "not a voxtune model"
    assert message_of(pickle.dumps({"format": FORMAT})) == "not a voxtune model"
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("a/b", "c")
    assert message_of(other.getvalue()).startswith("not a voxtune model: ")
    tensors = io.BytesIO()
    torch.save([torch.zeros(3)], tensors)
    assert message_of(tensors.getvalue()).startswith("not a model that this version can use: format")


def test_a_damaged_file(path: Path) -> None:
    save_model(path, make_model())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelFileError, match=r"model\.pt: ends too early: copied or written only in part\?"):
        load_model(path)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    middle = largest.header_offset + largest.file_size // 2
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
    with pytest.raises(ModelFileError, match=rf"damaged: the checksum of '{largest.filename}' is wrong"):
        load_model(path)


def test_a_small_file_can_not_become_a_large_one(path: Path) -> None:
    save_model(path, make_model())
    packed = path.with_name("packed.pt")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as other:
        for entry in archive.infolist():
            other.writestr(entry.filename, archive.read(entry))
    assert isinstance(content_of(packed), dict)  # torch takes it
    with pytest.raises(ModelFileError, match=r"packed\.pt: has compressed entries, which torch never writes"):
        load_model(packed)


def test_lists_that_hold_one_another_many_times(path: Path) -> None:
    save_model(path, make_model())
    held: list[Any] = []
    for _ in range(60):
        held = [held, held]
    torch.save(content_of(path) | {"modalities": held}, path)
    with pytest.raises(ModelFileError, match=r"model\.pt: holds more than 1000000 values; not a voxtune model"):
        load_model(path)


def test_entries_that_are_the_same_bytes(path: Path) -> None:
    save_model(path, make_model())
    with zipfile.ZipFile(path, "a") as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
        archive.filelist += [largest] * 9
        archive._didModify = True  # type: ignore[attr-defined]
    with pytest.raises(ModelFileError, match=r"has entries that overlap, which torch never writes"):
        load_model(path)


def test_endless_nesting(path: Path) -> None:
    save_model(path, make_model())
    nested: list[Any] = []
    for _ in range(3000):
        nested = [nested]
    content = content_of(path) | {"training": {"a": nested}}
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(50_000)
    torch.save(content, path)
    sys.setrecursionlimit(before)
    with pytest.raises(ModelFileError, match="not a model that this version can use: maximum recursion depth"):
        load_model(path)


class Evil:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def test_code_in_a_file_does_not_run(path: Path, tmp_path: Path) -> None:
    save_model(path, make_model())
    torch.save(content_of(path) | {"training": Evil(tmp_path / "ran")}, path)
    with pytest.raises(ModelFileError, match="holds Python objects, which could run code when loaded"):
        load_model(path)
    assert not (tmp_path / "ran").exists()


def test_a_file_of_the_first_format(path: Path) -> None:
    save_model(path, make_model())
    content = content_of(path) | {"format": "voxtune model 1"}
    del content["intensities"]
    torch.save(content, path)
    assert load_model(path).intensities == ()


def test_a_folder_of_models_is_an_ensemble(tmp_path: Path) -> None:
    save_model(tmp_path / "b.pt", make_model(version="b"))
    save_model(tmp_path / "a.pt", make_model(version="a", patch_size=(16, 16, 8)))
    (tmp_path / ".c.pt").write_text("being written")
    (tmp_path / "scores.json").write_text("{}")
    assert [model.version for model in load_models(tmp_path)] == ["a", "b"]
    assert [model.version for model in load_models(tmp_path / "b.pt")] == ["b"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"targets": Targets(names=("tumour", "liver"), members=((1,), (2, 3)), regions=False)},
            r"b\.pt: finds classes tumour \(1\), liver \(2\+3\), and a\.pt classes liver \(1\), tumour \(2\+3\)",
        ),
        (
            {"modalities": ("PET", "CT")},
            r"b\.pt: takes the channels PET, CT, and a\.pt CT, PET; members of an ensemble",
        ),
    ],
)
def test_members_that_do_not_fit_each_other(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    save_model(tmp_path / "a.pt", make_model())
    save_model(tmp_path / "b.pt", make_model(**changes))
    with pytest.raises(ModelFileError, match=message):
        load_models(tmp_path)


def test_what_lies_beside_a_model_or_above_it_leads_to_it(tmp_path: Path) -> None:
    best = tmp_path / "best"
    best.mkdir()
    save_model(best / "model.pt", make_model())
    (best / "config.yaml").write_text("{}")
    with pytest.raises(ModelFileError) as error:
        load_models(best / "config.yaml")
    assert str(error.value) == f"{best / 'config.yaml'}: is no model; the model beside it is {best / 'model.pt'}"
    with pytest.raises(ModelFileError) as error:
        load_models(tmp_path)
    assert str(error.value) == f"{tmp_path}: holds no model, no file *.pt; there is {best / 'model.pt'}"


def test_a_folder_without_models(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"holds no model, no file \*\.pt"):
        load_models(tmp_path)
    (tmp_path / "a.pt").write_text("mine")
    with pytest.raises(ModelFileError, match=r"a\.pt: not a voxtune model"):
        load_models(tmp_path)
