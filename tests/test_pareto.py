"""The front of cost against score."""

import numpy as np

from tuner.pareto import pareto_front


def test_front_is_what_no_other_point_beats() -> None:
    rng = np.random.default_rng(0)
    costs, scores = rng.integers(0, 12, 40).tolist(), rng.integers(0, 12, 40).tolist()
    points = list(zip(costs, scores, strict=True))
    unbeaten = {
        (cost, score)
        for cost, score in points
        if not any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in points)
    }
    front = pareto_front(costs, scores)
    assert {points[place] for place in front} == unbeaten
    assert len(front) == len(unbeaten)
    assert [costs[place] for place in front] == sorted(costs[place] for place in front)


def test_nothing_has_no_front() -> None:
    assert pareto_front([], []) == []
