"""Durations as people read them."""

import pytest

from tuner.durations import about, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.04, "0.04 s"),
        (8.4, "8 s"),
        (59.7, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (12060, "3 h 21 min"),
        (190_000, "2 d 4 h"),
    ],
)
def test_a_measured_duration_has_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.3, "0 s"),
        (40, "40 s"),
        (600, "10 minutes"),
        (5400, "90 minutes"),
        (12600, "3.5 hours"),
        (400_000, "4.6 days"),
    ],
)
def test_an_expected_duration_has_two_digits(seconds: float, text: str) -> None:
    assert about(seconds) == text
