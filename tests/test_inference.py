"""Segmenting volumes: windows and padding, with networks whose answer is known."""

import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from monai.inferers.utils import sliding_window_inference
from torch import Tensor, nn

from trainables.inference import _room_for, segment
from trainables.networks import NetworkConfig, build_network, level_strides
from trainables.precision import Precision, resolve_precision
from trainables.targets import Targets

CLASSES = Targets(names=("a", "b"), members=((1,), (2,)), regions=False)
REGIONS = Targets(names=("whole", "core"), members=((1, 2), (2,)), regions=True)
FP32 = resolve_precision("fp32", "cpu")


class Recording(nn.Module):
    """Maps an image to logits by a function, and notes what it was given."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.windows: list[Tensor] = []

    def forward(self, windows: Tensor) -> Tensor:
        assert not self.training
        assert torch.is_inference_mode_enabled()
        self.windows.append(windows)
        return self.function(windows)


def _by_value(windows: Tensor) -> Tensor:
    """Logits that are highest for class 1 where the first channel is about 1, for class 2 where it is about 2."""
    values = torch.arange(3.0).view(1, 3, 1, 1, 1)
    return -(windows[:, :1] - values).square()


def _image(*size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 3, (1, *size)).astype(np.float16)


def _predict(network: nn.Module, image: np.ndarray, *, targets: Targets = CLASSES, **options: object) -> np.ndarray:
    options = {"window": (8, 8, 8), "device": "cpu", "precision": FP32, **options}
    (encoded,) = segment(network, [image], targets=targets, **options)  # type: ignore[arg-type]
    return encoded


@pytest.mark.parametrize("size", [(8, 8, 8), (5, 8, 3), (19, 13, 8), (20, 5, 9), (1, 1, 1)])
@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_every_voxel_gets_its_class(size: tuple[int, ...], overlap: float) -> None:
    image = _image(*size)
    encoded = _predict(Recording(_by_value), image, overlap=overlap)
    assert encoded.dtype == np.uint8
    assert np.array_equal(encoded, image[0])


def test_a_small_volume_is_padded_with_zeros_and_seen_once() -> None:
    network = Recording(_by_value)
    _predict(network, np.ones((1, 5, 8, 3), np.float32))
    (window,) = network.windows
    assert window.shape == (1, 1, 8, 8, 8)
    assert window.sum() == 5 * 8 * 3
    assert window[0, 0, 1:6, :, 2:5].min() == 1


def test_windows_overlap_as_asked() -> None:
    network = Recording(_by_value)
    _predict(network, _image(16, 8, 8), overlap=0.5)
    assert [len(windows) for windows in network.windows] == [1, 1, 1]  # at 0, 4 and 8
    network = Recording(_by_value)
    _predict(network, _image(16, 8, 8), overlap=0.0)
    assert [len(windows) for windows in network.windows] == [1, 1]


def test_the_middle_of_a_window_counts_more_than_its_border() -> None:
    def by_window(windows: Tensor) -> Tensor:
        # The first window says class 1 everywhere, the last class 2.
        says_two = windows.amax((1, 2, 3, 4)) > 1
        logits = torch.zeros(len(windows), 3, *windows.shape[2:])
        logits[~says_two, 1] = 1
        logits[says_two, 2] = 1
        return logits

    image = np.zeros((1, 12, 8, 8), np.float32)
    image[0, -1] = 2
    encoded = _predict(Recording(by_window), image, overlap=0.5)
    # Windows from 0 to 8 and from 4 to 12 meet at 6. (In the windows' corners all weights are the least.)
    assert np.unique(encoded[:6, 2:6, 2:6]).tolist() == [1]
    assert np.unique(encoded[6:, 2:6, 2:6]).tolist() == [2]


def test_cut_volumes_are_blended_as_monai_does() -> None:
    """Where the fewest windows lie as MONAI puts them: its Gaussian, its sum, whatever windows go together."""
    torch.manual_seed(0)
    network = nn.Conv3d(1, 3, 3, padding=1).eval()
    images = [np.random.default_rng(seed).standard_normal((1, 20, 8, 14), dtype=np.float32) for seed in range(3)]
    found = segment(
        network, images, window=(8, 8, 8), targets=CLASSES, device="cpu", precision=FP32, overlap=0.25, at_once=4
    )
    for image, encoded in zip(images, found, strict=True):
        with torch.inference_mode():
            expected = sliding_window_inference(
                torch.from_numpy(image)[None], (8, 8, 8), 1, network, overlap=0.25, mode="gaussian"
            )
        assert isinstance(expected, Tensor)
        assert np.array_equal(encoded, expected[0].argmax(0).numpy())


def test_images_come_one_by_one_and_are_given_up_when_done() -> None:
    alive: list[weakref.ref[Tensor]] = []
    most = 0

    def images() -> Iterator[Tensor]:
        nonlocal most
        for _ in range(12):
            image = torch.zeros(1, 8, 8, 8)
            alive.append(weakref.ref(image))
            most = max(most, sum(reference() is not None for reference in alive))
            yield image
            del image

    found = segment(
        Recording(_by_value), images(), window=(8, 8, 8), targets=CLASSES, device="cpu", precision=FP32, at_once=2
    )
    assert len(found) == 12
    assert most <= 5


def test_a_large_volumes_logits_are_added_up_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they would fill more than half of what a GPU has free, what torch holds unused counted as free."""
    for name, found in (("mem_get_info", (100, 1000)), ("memory_reserved", 60), ("memory_allocated", 40)):
        monkeypatch.setattr(torch.cuda, name, lambda device, found=found: found)
    gpu = torch.device("cuda")
    assert _room_for(60, gpu) == gpu
    assert _room_for(61, gpu) == torch.device("cpu")
    assert _room_for(10**12, torch.device("cpu")) == torch.device("cpu")


def test_regions_are_bits() -> None:
    def logits(windows: Tensor) -> Tensor:
        return torch.cat([windows - 0.5, windows - 1.5], dim=1)

    image = _image(11, 8, 9)
    assert np.array_equal(
        _predict(Recording(logits), image, targets=REGIONS), np.array([0, 1, 3])[image[0].astype(int)]
    )


def test_half_precision_windows_are_added_up_in_fp32() -> None:
    """The first window prefers class 2 by the least that bf16 can tell, the second neither class.

    So wherever both are seen class 2 leads by the first one's weight, at its border far less than bf16 could keep.
    """

    def small_lead(windows: Tensor) -> Tensor:
        assert torch.is_autocast_enabled("cpu")
        logits = torch.full((len(windows), 3, *windows.shape[2:]), 256.0, dtype=torch.bfloat16)
        logits[:, 0] = 0
        logits[windows.amax((1, 2, 3, 4)) > 0, 2] = 258.0
        return logits

    precision = Precision(name="bf16", device=torch.device("cpu"))
    image = np.zeros((1, 12, 8, 8), np.float32)
    image[0, 0] = 1
    encoded = _predict(Recording(small_lead), image, precision=precision, overlap=0.5)
    # Windows from 0 to 8 and from 4 to 12.
    assert np.unique(encoded[:8]).tolist() == [2]
    assert np.unique(encoded[8:]).tolist() == [1]


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_in_the_mode_it_was_in(training: bool) -> None:
    network = Recording(_by_value).train(training)
    _predict(network, _image(8, 8, 8))
    assert network.training is training

    def fails(windows: Tensor) -> Tensor:
        raise RuntimeError("out of memory")

    network = Recording(fails).train(training)
    with pytest.raises(RuntimeError):
        _predict(network, _image(8, 8, 8))
    assert network.training is training


def test_a_real_network_sees_a_volume_whole_or_in_windows() -> None:
    torch.manual_seed(0)
    config = NetworkConfig(
        architecture="compact_unet",
        in_channels=2,
        out_channels=3,
        width=4,
        levels=3,
        strides=level_strides(3, (1, 1, 1)),
        deep_supervision=True,
    )
    network = build_network(config)
    image = np.random.default_rng(0).standard_normal((2, 14, 9, 8), dtype=np.float32)
    whole = _predict(network, image, window=(16, 12, 8))
    with torch.inference_mode():
        padded = nn.functional.pad(torch.from_numpy(image)[None], [0, 0, 1, 2, 1, 1])
        expected = network.eval()(padded)[0, :, 1:-1, 1:-2].argmax(0)
    assert np.array_equal(whole, expected.numpy())
    assert _predict(network, image).shape == (14, 9, 8)
