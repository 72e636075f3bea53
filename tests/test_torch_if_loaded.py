"""torch is taken whole or not at all, also while another thread imports it."""

import os
import subprocess
import sys
from pathlib import Path

HALF_IMPORTED = """
import sys, threading, time
from trainables.memory_errors import is_out_of_memory
from trainables.torch_if_loaded import torch_if_loaded

assert torch_if_loaded() is None
threading.Thread(target=__import__, args=("torch",)).start()
while "torch" not in sys.modules:
    time.sleep(0.001)
assert not hasattr(sys.modules["torch"], "OutOfMemoryError")
assert not is_out_of_memory(RuntimeError("of another kind"))
assert is_out_of_memory(torch_if_loaded().OutOfMemoryError())
"""


def test_another_thread_that_imports_it_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("import time\ntime.sleep(1)\nclass OutOfMemoryError(RuntimeError): pass\n")
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])
    ended = subprocess.run(
        [sys.executable, "-c", HALF_IMPORTED], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")
