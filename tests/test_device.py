import pytest
import torch

from trainables.device import choose_device, device_name
from trainables.errors import SettingError


def gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.mark.parametrize(("count", "kind"), [(0, "cpu"), (2, "cuda")])
def test_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch, count: int, kind: str) -> None:
    gpus(monkeypatch, count)
    assert choose_device() == torch.device(kind)
    assert choose_device("cpu") == torch.device("cpu")


def test_one_of_several_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, 2)
    assert choose_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("foo", 2, "device: must be cpu, cuda or one GPU such as cuda:1, got 'foo'"),
        ("cuda:x", 2, "device: must be cpu, cuda or one GPU such as cuda:1, got 'cuda:x'"),
        ("", 2, "device: must be cpu, cuda or one GPU such as cuda:1, got ''"),
        ("cuda", 0, "device: cuda: torch finds no GPU here"),
        ("cuda:2", 2, "device: cuda:2: torch finds 2 here, the last is cuda:1"),
    ],
)
def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch, name: str, count: int, message: str) -> None:
    gpus(monkeypatch, count)
    with pytest.raises(SettingError) as error:
        choose_device(name)
    assert str(error.value) == message


def test_a_cpu_is_called_cpu() -> None:
    assert device_name(torch.device("cpu")) == "cpu"
