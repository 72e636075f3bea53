"""How much memory there is for this process, so that what can't fit into it is refused before it is tried.

A system may promise more than there is, and then ends the process that uses it: no error would be told.
"""

import os

from trainables.control_groups import memory_groups


def machine_memory() -> int:
    """Bytes that this machine has, or that the control groups leave to this process where that is less."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([there, *(limit for limit, _ in memory_groups())])


def past_memory(needed: int) -> str | None:
    """`36.1 GiB of memory, and this machine has 23.5`, for bytes that it has not; None where it has them."""
    there = machine_memory()
    return None if needed <= there else f"{needed / 2**30:,.1f} GiB of memory, and this machine has {there / 2**30:.1f}"
