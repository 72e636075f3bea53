"""The fast instance norm against torch's own."""

import pytest
import torch
from torch import Tensor, nn

from trainables.instance_norm import InstanceNorm


def _features(layout: torch.memory_format, size: tuple[int, ...] = (3, 5, 4, 6, 7)) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    features = 3 * torch.randn(size, generator=generator) + torch.randn(*size[:2], 1, 1, 1, generator=generator)
    return features.contiguous(memory_format=layout)


def _pair(channels: int) -> tuple[InstanceNorm, nn.InstanceNorm3d]:
    """Ours and torch's, with the same scales and shifts."""
    ours, torchs = InstanceNorm(channels), nn.InstanceNorm3d(channels, affine=True)
    with torch.no_grad():
        ours.weight.copy_(torch.linspace(0.5, 2, channels))
        ours.bias.copy_(torch.linspace(-1, 1, channels))
    torchs.load_state_dict(ours.state_dict())
    return ours, torchs


@pytest.mark.parametrize("layout", [torch.channels_last_3d, torch.contiguous_format])
def test_values_and_gradients_are_those_of_torch(layout: torch.memory_format) -> None:
    results = []
    for norm in _pair(5):
        features = _features(layout).requires_grad_()
        normalised = norm(features)
        (normalised * _features(torch.contiguous_format).cos()).sum().backward()
        results.append((normalised, features.grad, norm.weight.grad, norm.bias.grad))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)


def test_the_layout_is_kept() -> None:
    features = _features(torch.channels_last_3d)
    assert InstanceNorm(5)(features).is_contiguous(memory_format=torch.channels_last_3d)
    assert not nn.InstanceNorm3d(5)(features).is_contiguous(memory_format=torch.channels_last_3d)  # why ours exists


def test_gradients_in_another_layout_and_strided() -> None:
    ours, torchs = _pair(5)
    weights = _features(torch.contiguous_format, (3, 10, 4, 6, 7)).sin()[:, ::2]
    gradients = []
    for norm in (ours, torchs):
        features = _features(torch.channels_last_3d).requires_grad_()
        norm(features).backward(weights)
        gradients.append(features.grad)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)


def test_each_sample_is_normalised_by_itself() -> None:
    features = _features(torch.channels_last_3d)
    together, alone = InstanceNorm(5)(features), InstanceNorm(5)(features[1:2])
    torch.testing.assert_close(together[1:2], alone)
    torch.testing.assert_close(together.mean((2, 3, 4)), torch.zeros(3, 5), atol=1e-5, rtol=0)


def test_half_precision_and_no_gradients() -> None:
    ours, torchs = _pair(5)
    features = _features(torch.channels_last_3d).bfloat16()
    with torch.inference_mode():
        torch.testing.assert_close(ours.bfloat16()(features), torchs.bfloat16()(features))
        features = _features(torch.channels_last_3d)
        torch.testing.assert_close(ours.float()(features), torchs.float()(features), rtol=1e-4, atol=1e-4)
