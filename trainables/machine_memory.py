"""How much memory this machine has, so that what can't fit into it is refused before it is tried.

A system may promise more than there is, and then ends the process that uses it: no error would be told.
"""

import os


def machine_memory() -> int:
    """Bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def past_memory(needed: int) -> str | None:
    """`36.1 GiB of memory, and this machine has 23.5`, for bytes that it has not; None where it has them."""
    there = machine_memory()
    return None if needed <= there else f"{needed / 2**30:,.1f} GiB of memory, and this machine has {there / 2**30:.1f}"
