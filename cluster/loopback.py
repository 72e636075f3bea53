"""Has a Ray that is started for this machine alone listen on its loopback alone.

By itself Ray takes the machine's address on the network, and opens a dozen ports there; those of its metrics ask nobody
for a token. On the loopback it also survives that the network changes, as a laptop's does.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def on_loopback() -> Iterator[None]:
    """While the block runs a Ray that is started takes 127.0.0.1 for its node's address, whose processes all use that.

    Unless the variable by which Ray has it otherwise on systems where this is its default is set already.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    if ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR not in os.environ:
        ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
