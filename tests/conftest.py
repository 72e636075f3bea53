"""Fixtures that several test files share."""

import os
import signal
from pathlib import Path

import pytest
from make_data import write_dataset
from services import connected, postgresql, running_ray  # noqa: F401 (fixtures)

# Ray's workers give way to all else on the machine, to the tests that run beside them too, unless they are told not to.
os.environ.setdefault("RAY_worker_niceness", "0")

# Who starts the tests in the background may have Ctrl-C ignored, by them and by all that they start; some send it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that start Ray first: they take longest, and `make test` hands files out in this order."""
    with_ray = {item.path for item in items if item.get_closest_marker("ray")}
    items.sort(key=lambda item: item.path not in with_ray)


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Decathlon folder of six one-channel cases of 20 x 24 x 18 voxels with two classes. Read only."""
    return write_dataset(tmp_path_factory.mktemp("data") / "Blobs")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; tests that ask for it are marked `data`."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("VOXTUNE_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set VOXTUNE_DATA")
    return folder
