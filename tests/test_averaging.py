from pathlib import Path

import torch
from torch import nn

from trainables.averaging import WeightAverage


def network_with(value: float) -> nn.Module:
    network = nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2))
    fill(network, value)
    return network


def fill(network: nn.Module, value: float) -> None:
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.fill_(value)


def values(average: WeightAverage) -> set[float]:
    tensors = (*average.network.parameters(), *average.network.buffers())
    return {round(float(v), 5) for t in tensors if t.is_floating_point() for v in t.flatten()}


def test_parameters_and_statistics_are_averaged_with_a_decay_that_rises_to_its_bound() -> None:
    network = network_with(1.0)
    average = WeightAverage(network, 0.3)

    expected = 0.0
    for step, (value, decay) in enumerate([(1.0, 0.0), (2.0, 2 / 11), (5.0, 0.25), (3.0, 0.3), (4.0, 0.3)]):
        fill(network, value)
        average.update(network)
        expected = decay * expected + (1 - decay) * value
        assert values(average) == {round(expected, 5)}, step


def test_the_network_itself_is_left_alone() -> None:
    network = network_with(1.0)
    average = WeightAverage(network, 0.9)
    fill(network, 3.0)
    average.update(network)

    fill(average.network, 7.0)

    assert all((tensor == 3.0).all() for tensor in network.parameters())
    assert not any(parameter.requires_grad for parameter in average.network.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_loaded_state_goes_on_with_the_same_average(tmp_path: Path) -> None:
    network = network_with(1.0)
    average = WeightAverage(network, 0.9)
    for value in (1.0, 2.0, 3.0):
        fill(network, value)
        average.update(network)
    torch.save(average.state_dict(), tmp_path / "state.pt")

    resumed = WeightAverage(network_with(8.0), 0.9)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert values(resumed) == values(average)

    for each in (average, resumed):
        each.update(network_with(5.0))
    assert values(resumed) == values(average)


def test_a_network_without_statistics() -> None:
    network = nn.Conv3d(1, 2, 1)
    average = WeightAverage(network, 0.9)
    fill(network, 3.0)
    average.update(network)
    assert values(average) == {3.0}


def test_whole_numbers_are_the_latest() -> None:
    network = network_with(1.0)
    average = WeightAverage(network, 0.9)
    for value in (3.0, 8.0):
        fill(network, value)
        average.update(network)
    (counted,) = (b for b in average.network.buffers() if not b.is_floating_point())
    assert int(counted) == 8
