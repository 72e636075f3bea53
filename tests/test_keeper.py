"""Files of trials come to the driver's machine from nodes that don't see its folder."""

from pathlib import Path

import pytest
import ray

from tuner.keeper import MARK, SentFiles, keeping

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("connected")]


def test_a_node_that_does_not_see_the_folder_sends_its_files(tmp_path: Path) -> None:
    with keeping(tmp_path) as sent:
        elsewhere = SentFiles(Path("/nowhere/at/all"), sent.keeper)
        elsewhere.put("trial/state.pt", lambda path: path.write_bytes(b"x" * 2_000_000))
        assert (tmp_path / "trial" / "state.pt").stat().st_size == 2_000_000
        assert elsewhere.names() == ["trial/state.pt"]
        with elsewhere.fetched("trial/state.pt") as path:
            assert path.read_bytes() == b"x" * 2_000_000
            assert tmp_path not in path.parents
        with pytest.raises(FileNotFoundError, match="no file"), elsewhere.fetched("trial/other.pt"):
            pass
        elsewhere.remove("trial")
        assert elsewhere.names() == []
        with pytest.raises(OSError, match="File exists"):  # as the driver's disk says
            elsewhere.put(f"{MARK}/state.pt", Path.touch)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="the driver has ended"):
        elsewhere.put("trial/state.pt", Path.touch)


def test_a_node_that_sees_it_writes_there_by_itself(tmp_path: Path) -> None:
    with keeping(tmp_path) as sent:
        ray.kill(ray.get_actor(sent.keeper))
        sent.put("trial/model.pt", lambda path: path.write_text("weights"))
        with sent.fetched("trial/model.pt") as path:
            assert path == tmp_path / "trial" / "model.pt"
        (tmp_path / MARK).write_text("another sweep's keeper")  # the same path, but not the same folder
        with pytest.raises(OSError, match="the driver has ended"):
            sent.put("trial/model.pt", Path.touch)
