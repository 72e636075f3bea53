"""A node provider for Ray's autoscaler whose nodes never come up: enough to see what it asks for, and what it can't."""

from typing import Any

from ray.autoscaler.node_provider import NodeProvider
from ray.autoscaler.tags import TAG_RAY_NODE_KIND, TAG_RAY_NODE_NAME, TAG_RAY_NODE_STATUS, TAG_RAY_USER_NODE_TYPE

HEAD, HEAD_TYPE = "head-1", "head"


class SlowNodes(NodeProvider):
    """The head and, for ever on their way, the nodes that were asked for."""

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        super().__init__(provider_config, cluster_name)
        tags = (TAG_RAY_NODE_KIND, TAG_RAY_USER_NODE_TYPE, TAG_RAY_NODE_STATUS, TAG_RAY_NODE_NAME)
        self._nodes = {HEAD: dict(zip(tags, ("head", HEAD_TYPE, "up-to-date", HEAD), strict=True))}

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        return [node for node, tags in self._nodes.items() if tag_filters.items() <= tags.items()]

    def is_running(self, node_id: str) -> bool:
        return node_id in self._nodes

    def is_terminated(self, node_id: str) -> bool:
        return node_id not in self._nodes

    def node_tags(self, node_id: str) -> dict[str, str]:
        return self._nodes[node_id]

    def internal_ip(self, node_id: str) -> str:
        return "192.0.2.1"  # nobody's

    external_ip = internal_ip

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        self._nodes[node_id].update(tags)

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> None:
        for _ in range(count):
            self._nodes[f"node-{len(self._nodes)}"] = dict(tags)

    def create_node_with_resources_and_labels(
        self, node_config: dict[str, Any], tags: dict[str, str], count: int, resources: object, labels: object
    ) -> None:
        self.create_node(node_config, tags, count)

    def terminate_node(self, node_id: str) -> None:
        self._nodes.pop(node_id, None)

    @staticmethod
    def bootstrap_config(cluster_config: dict[str, Any]) -> dict[str, Any]:
        return cluster_config
