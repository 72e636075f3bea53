"""Slots wait for one another before their first trial."""

import time

import pytest
import ray

from tuner.gate import Gate, pass_gate

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("connected")]


@ray.remote(num_cpus=1)
class Slot:
    def pass_gate(self, name: str, after: float) -> tuple[float, float, int | None]:
        time.sleep(after)
        came = time.time()
        number = pass_gate(name)
        return came, time.time(), number


def test_the_first_waits_for_the_last_and_later_ones_pass() -> None:
    gate = Gate(2)
    first, last = Slot.remote(), Slot.remote()
    (_, early, one), (late, _, two) = ray.get(
        [first.pass_gate.remote(gate.name, 0.0), last.pass_gate.remote(gate.name, 1.5)]
    )
    assert early >= late
    assert (one, two) == (1, 2)
    came, passed, number = ray.get(first.pass_gate.remote(gate.name, 0.0))
    assert passed - came < 1
    assert number == 3
    gate.close()
    came, passed, number = ray.get(first.pass_gate.remote(gate.name, 0.0))
    assert passed - came < 5
    assert number is None


def test_a_slot_that_never_comes_up_is_not_waited_for_longer_than_patience() -> None:
    gate = Gate(2, patience=1.0)
    came, passed, _ = ray.get(Slot.remote().pass_gate.remote(gate.name, 0.0))
    assert 0.9 < passed - came < 10
    gate.close()
