"""A cluster's head: is one there, is it of our version, does it let us in? Asked first, since Ray waits for minutes."""

import logging
import os
import socket
import time
from functools import partial
from importlib.metadata import version
from typing import Any

import psutil

from cluster.errors import ClusterError
from cluster.token import Token, let_in

log = logging.getLogger("voxtune")

PATIENCE = 10.0
"""Seconds that a head may take for an answer; it is asked at most twice."""


def prepare_to_join(address: str) -> None:
    """Have this process speak to the head at HOST:PORT in the way that the head asks for: with a token, or without.

    Raises ClusterError, within 30 s, if none answers, if it refuses our token, if its Ray is not ours, or if this
    machine is none of its nodes.
    """
    _knock(address)
    answer, token = let_in(f"the cluster at {address}", partial(_version, address))
    if token is None:
        log.warning(
            "the cluster at %s asks for no token: whoever reaches it can run programs on it. Start it with "
            "RAY_AUTH_MODE=token and a token in ~/.ray/auth_token on each node",
            address,
        )
    if answer != version("ray"):
        raise ClusterError(
            f"the cluster at {address} runs Ray {answer}, and here is Ray {version('ray')}: install the same Ray on all"
        )
    _check_here(address, token)
    _set_mode("token" if token else "disabled")


def _knock(address: str) -> None:
    """Raises ClusterError if nothing listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ClusterError(f"address: expected auto or HOST:PORT, got {address!r}")
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(f"no Ray cluster answers at {address}: {error}") from error


def _version(address: str, token: Token | None) -> str | None:
    """Of the head's Ray; None if it lets us not in. Raises ClusterError if what answers is no head."""
    try:
        return str(_ask(address, token, "CheckAlive").ray_version)
    except PermissionError:
        return None


def _check_here(address: str, token: Token | None) -> None:
    """Raises ClusterError if this machine is none of the cluster's nodes: a driver needs a Ray process beside it."""
    deadline = time.monotonic() + PATIENCE
    while not (nodes := _node_addresses(address, token)) and time.monotonic() < deadline:
        time.sleep(0.2)  # the head has only just begun, and is not yet its own first node
    ours = {entry.address for addresses in psutil.net_if_addrs().values() for entry in addresses}
    if not nodes & ours:
        raise ClusterError(
            f"this machine is none of the cluster at {address}, whose nodes are {', '.join(sorted(nodes))}: run there, "
            "or from here by `voxtune submit --address http://HEAD:8265`"
        )


def _node_addresses(address: str, token: Token | None) -> set[str]:
    """Of the nodes that are up."""
    known = _ask(address, token, "GetAllNodeInfo").node_info_list
    return {node.node_manager_address for node in known if not node.state}


def _ask(address: str, token: Token | None, method: str) -> Any:
    """What the head answers. Raises PermissionError if it lets us not in, ClusterError if what answers is no head."""
    import grpc
    from ray.core.generated import gcs_service_pb2

    messages: Any = gcs_service_pb2
    request = getattr(messages, f"{method}Request")
    with grpc.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(
            f"/ray.rpc.NodeInfoGcsService/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=getattr(messages, f"{method}Reply").FromString,
        )
        metadata = [(name.lower(), value) for name, value in token.headers.items()] if token else None
        try:
            return call(request(), timeout=PATIENCE, metadata=metadata)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                raise PermissionError from error
            code = error.code().name
            raise ClusterError(f"what answers at {address} is no Ray head: {code}; check host and port") from error


def _set_mode(mode: str) -> None:
    os.environ["RAY_AUTH_MODE"] = mode
    from ray import _raylet

    raylet: Any = _raylet
    raylet.Config.initialize("")  # which else keeps to what the variable said when Ray was imported
