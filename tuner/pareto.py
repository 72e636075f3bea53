"""The Pareto front of cost against score."""

from collections.abc import Sequence


def pareto_front(costs: Sequence[float], scores: Sequence[float]) -> list[int]:
    """The places of the points that no other beats: none costs less and scores as high, or as little and higher.

    Args:
        costs: low is good; finite.
        scores: high is good; finite.

    Returns them by ascending cost. Of equal points the first stands for all.
    """
    front: list[int] = []
    for place in sorted(range(len(costs)), key=lambda place: (costs[place], -scores[place], place)):
        if not front or scores[place] > scores[front[-1]]:
            front.append(place)
    return front
