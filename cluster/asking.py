"""Asks each node of a cluster something that only a process there can know."""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.errors import ClusterError
from cluster.nodes import Node

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds for the nodes to answer: a worker process comes up in two to five."""


def on_each_node(nodes: Sequence[Node], function: Callable[..., T], *arguments: Any) -> list[tuple[Node, T]]:
    """What `function` returns in a process of each node, in the nodes' order.

    Raises ClusterError if one does not answer in time, or its answer is an exception.
    """
    task: Any = ray.remote(num_cpus=0, max_retries=0)(function)
    asked = [task.options(scheduling_strategy=pinned_to(node.id)).remote(*arguments) for node in nodes]
    end = time.monotonic() + PATIENCE
    return [(node, _answer(node, answer, end)) for node, answer in zip(nodes, asked, strict=True)]


def pinned_to(node_id: str) -> NodeAffinitySchedulingStrategy:
    """Has a task or an actor run on this node or not at all."""
    return NodeAffinitySchedulingStrategy(node_id, soft=False)


def pinned_here() -> NodeAffinitySchedulingStrategy:
    """Has a task or an actor run on the driver's own node."""
    return pinned_to(ray.get_runtime_context().get_node_id())


def _answer(node: Node, answer: Any, end: float) -> Any:
    try:
        return ray.get(answer, timeout=max(0.0, end - time.monotonic()))
    except GetTimeoutError as error:
        ray.cancel(answer, force=True)
        raise ClusterError(f"node {node.name} did not answer within {PATIENCE:g} s: overloaded or gone") from error
    except RayError as error:
        raise ClusterError(f"node {node.name} can't run voxtune: {error}") from error
