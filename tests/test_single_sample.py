"""Convolutions of one sample: the same values by another library."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainables import single_sample
from trainables.single_sample import SingleSampleConvolution


def _features(samples: int = 1) -> Tensor:
    return torch.randn(samples, 4, 8, 9, 10, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def by_onednn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that were given to oneDNN."""
    batches: list[int] = []
    original = torch.mkldnn_convolution

    def noting(features: Tensor, *args: Any) -> Tensor:
        batches.append(len(features))
        return original(features, *args)

    monkeypatch.setattr(single_sample.torch, "mkldnn_convolution", noting)
    return batches


@pytest.mark.parametrize(
    ("stride", "kernel", "bias"), [*product([1, (2, 2, 1)], [(1, 1, 1), (3, 3, 1), (3, 3, 3)], [True, False])]
)
def test_values_are_the_same(
    stride: int | tuple[int, int, int], kernel: tuple[int, int, int], bias: bool, by_onednn: list[int]
) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv3d(4, 6, kernel, stride=stride, padding=1, bias=bias)
    with torch.inference_mode():
        expected = convolution(_features())
        with SingleSampleConvolution():
            found = convolution(_features())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert by_onednn == [1]


def test_training_stays_with_torch(by_onednn: list[int]) -> None:
    convolution = nn.Conv3d(4, 6, 3)
    with SingleSampleConvolution():
        convolution(_features()).sum().backward()
    assert convolution.weight.grad is not None
    assert by_onednn == []


def test_larger_batches_and_half_precision_stay_with_torch(by_onednn: list[int]) -> None:
    convolution = nn.Conv3d(4, 6, 3)
    with torch.inference_mode():
        expected = convolution(_features(2))
        with SingleSampleConvolution():
            assert torch.equal(convolution(_features(2)), expected)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                assert convolution(_features()).dtype == torch.bfloat16
    assert by_onednn == []
