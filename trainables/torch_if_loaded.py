"""torch where the process uses it already: one that does not is spared its 0.1 GiB and 2 seconds."""

import sys
from types import ModuleType


def torch_if_loaded() -> ModuleType | None:
    """torch, imported to its end; None in a process that has not begun to import it.

    Another thread may be at it, such as the one that writes a checkpoint. What stands in `sys.modules` meanwhile lacks
    most of its names.
    """
    if "torch" not in sys.modules:
        return None
    import torch  # waits for that thread

    return torch
