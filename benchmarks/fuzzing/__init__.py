"""What `benchmarks/fuzz.py` and `tests/test_fuzz.py` feed to voxtune: inputs near to good ones, and what must hold."""

import sys
from pathlib import Path

# The good inputs are the tests' own.
sys.path.append(str(Path(__file__).parents[2] / "tests"))
