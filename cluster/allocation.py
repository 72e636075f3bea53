"""What a Slurm job asks about its nodes while it starts Ray on them: `python -m cluster.allocation`.

place OTHER         where the head is to be: its address as the node OTHER sees it, and a port for Ray's client server
complete HEAD N     ends with 0 as soon as N nodes have joined the head at HEAD, with 1 if there is no head; it waits
                    until then, and `templates/slurm.sh` ends it where a node's Ray ends
"""

import logging
import random
import socket
import sys
import time
from typing import Any

PORTS = range(20_000, 32_000)
"""Below those that Linux hands out to whoever asks for any, so that none is taken between our look and Ray's start."""


def address_towards(other: str) -> str:
    """This machine's address on the network by which it reaches the host `other`: it may have several.

    Raises OSError if there is no such host, or no way to it.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect((other, 9))  # sends nothing
        return str(asking.getsockname()[0])


def free_port() -> int:
    """A port on which nobody listens on this machine's loopback.

    For the dashboard: two of them on one node would both take the same one, and only one head would start. All other
    ports are chosen by Ray, and so are free.
    """
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as trying:
            try:
                trying.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no port from {PORTS.start} to {PORTS.stop} is free")


def without_client_server(parameters: Any, head: bool) -> None:
    """A hook of `ray start` (RAY_START_HOOK): no server for Ray clients, which nobody needs here.

    It would listen on port 10001 whoever has that already, and a head ends with it.
    """
    parameters.ray_client_server_port = None


def wait_until_complete(head: str, nodes: int) -> None:
    """Returns once so many nodes have joined the Ray at `head`. Raises ConnectionError if none answers there."""
    import ray

    ray.init(address=head, log_to_driver=False, logging_level=logging.ERROR)
    while sum(node["Alive"] for node in ray.nodes()) < nodes:
        time.sleep(0.2)
    ray.shutdown()


def main(arguments: list[str]) -> None:
    match arguments:
        case ["place", other]:
            print(address_towards(other), free_port(), sep="\n")
        case ["complete", head, nodes]:
            wait_until_complete(head, int(nodes))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
