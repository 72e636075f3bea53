"""What a Slurm job asks about its nodes while it starts Ray on them: `python -m cluster.allocation`.

place OTHER         where the head is to be: its address as the node OTHER sees it, and a port for Ray's client server
complete HEAD N     ends with 0 as soon as N nodes have joined the head at HEAD, with 1 if they don't for some seconds
"""

import logging
import random
import socket
import sys
import time

PORTS = range(20_000, 32_000)
"""Below those that Linux hands out to whoever asks for any, so that none is taken between our look and Ray's start."""

PATIENCE = 15.0
"""Seconds to wait for nodes to join before the job looks whether they still try."""


def address_towards(other: str) -> str:
    """This machine's address on the network by which it reaches the host `other`: it may have several.

    Raises OSError if there is no such host, or no way to it.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect((other, 9))  # sends nothing
        return str(asking.getsockname()[0])


def free_port() -> int:
    """A port on which nobody listens here.

    `ray start --head` always starts a server for Ray clients, on port 10001 unless it is told another one, and ends if
    that is taken. For the other ports it needs it takes free ones by itself.
    """
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as trying:
            try:
                trying.bind(("", port))
            except OSError:
                continue
            return port
    raise OSError(f"no port from {PORTS.start} to {PORTS.stop} is free")


def complete(head: str, nodes: int, *, patience: float = PATIENCE) -> bool:
    """Whether so many nodes have joined the Ray at `head` within `patience` seconds."""
    import ray

    end = time.monotonic() + patience
    ray.init(address=head, log_to_driver=False, logging_level=logging.ERROR)
    try:
        while sum(node["Alive"] for node in ray.nodes()) < nodes:
            if time.monotonic() > end:
                return False
            time.sleep(0.2)
    finally:
        ray.shutdown()
    return True


def main(arguments: list[str]) -> int:
    match arguments:
        case ["place", other]:
            print(address_towards(other), free_port(), sep="\n")
            return 0
        case ["complete", head, nodes]:
            return 0 if complete(head, int(nodes)) else 1
    raise SystemExit(__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
