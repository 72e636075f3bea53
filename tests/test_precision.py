"""Which formats a device has, and that a forward pass runs in them."""

from collections.abc import Iterator

import pytest
import torch

from trainables.errors import SettingError
from trainables.precision import Precision, resolve_precision


@pytest.fixture
def tf32_as_before() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.fixture
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU of the parametrised compute capability, as far as torch says."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: request.param)


@pytest.mark.parametrize(("name", "resolved"), [("auto", "fp32"), ("fp32", "fp32"), ("bf16", "bf16")])
def test_formats_of_a_cpu(name: str, resolved: str) -> None:
    assert resolve_precision(name, "cpu") == Precision(name=resolved, device=torch.device("cpu"))


@pytest.mark.parametrize("name", ["fp16", "tf32"])
def test_formats_that_a_cpu_lacks(name: str) -> None:
    with pytest.raises(SettingError) as error:
        resolve_precision(name, "cpu")
    assert str(error.value) == (
        f"precision: {name} needs a CUDA GPU, and this run is on 'cpu'; use auto or fp32 or bf16"
    )


def test_an_unknown_format() -> None:
    with pytest.raises(SettingError) as error:
        resolve_precision("fp8", "cpu")
    assert str(error.value) == "precision: must be one of auto, fp32, tf32, fp16, bf16, got 'fp8'"


@pytest.mark.parametrize(
    ("gpu", "name", "resolved"),
    [
        ((6, 1), "auto", "fp32"),
        ((7, 0), "auto", "fp16"),
        ((9, 0), "auto", "fp16"),
        ((9, 0), "bf16", "bf16"),
        ((8, 0), "tf32", "tf32"),
        ((6, 1), "fp32", "fp32"),
    ],
    indirect=["gpu"],
)
@pytest.mark.usefixtures("gpu")
def test_formats_of_a_gpu(name: str, resolved: str) -> None:
    assert resolve_precision(name, "cuda:0").name == resolved


@pytest.mark.parametrize(
    ("gpu", "name", "message"),
    [
        (
            (7, 5),
            "tf32",
            "precision: tf32 needs a GPU of compute capability 8.0, and cuda:0 has 7.5; use fp32 or fp16",
        ),
        ((7, 0), "bf16", "precision: bf16 needs a GPU of compute capability 8.0, and cuda:0 has 7.0; use fp32 or fp16"),
        ((6, 1), "fp16", "precision: fp16 needs a GPU of compute capability 7.0, and cuda:0 has 6.1; use fp32"),
    ],
    indirect=["gpu"],
)
@pytest.mark.usefixtures("gpu")
def test_formats_that_a_gpu_lacks(name: str, message: str) -> None:
    with pytest.raises(SettingError) as error:
        resolve_precision(name, "cuda:0")
    assert str(error.value) == message


@pytest.mark.parametrize(("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_forward_pass_runs_in_the_format(name: str, dtype: torch.dtype) -> None:
    layer = torch.nn.Linear(3, 2)
    with resolve_precision(name, "cpu").autocast():
        assert layer(torch.ones(1, 3)).dtype == dtype
    assert layer.weight.dtype == torch.float32


@pytest.mark.parametrize(("name", "allowed"), [("tf32", True), ("fp32", False), ("fp16", False)])
@pytest.mark.usefixtures("tf32_as_before")
def test_tf32_is_switched_and_stays_for_the_backward_pass(
    name: str, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: torch.enable_grad())  # a CPU build has none for CUDA
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = not allowed
    with Precision(name=name, device=torch.device("cuda")).autocast():
        pass
    assert torch.backends.cudnn.allow_tf32 is allowed
    assert torch.backends.cuda.matmul.allow_tf32 is allowed


def test_only_fp16_scales_the_loss() -> None:
    scaler = resolve_precision("fp32", "cpu").grad_scaler()
    assert not scaler.is_enabled()
    assert scaler.scale(torch.tensor(2.0)).item() == 2.0
    assert scaler.state_dict() == {}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.usefixtures("tf32_as_before")
@pytest.mark.parametrize(("name", "worst"), [("fp32", 1e-5), ("tf32", 5e-3), ("fp16", 5e-3), ("bf16", 5e-2)])
def test_the_error_of_a_convolution_on_a_gpu_is_that_of_the_format(name: str, worst: float) -> None:
    generator = torch.Generator().manual_seed(0)
    image, kernel = (
        torch.randn(1, 16, 16, 16, 16, generator=generator),
        torch.randn(16, 16, 3, 3, 3, generator=generator),
    )
    exact = torch.nn.functional.conv3d(image.double(), kernel.double())
    with resolve_precision(name, "cuda").autocast():
        found = torch.nn.functional.conv3d(image.cuda(), kernel.cuda()).cpu().double()
    error = ((found - exact).abs().max() / exact.abs().max()).item()
    assert worst / 500 < error < worst
