import fcntl
import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from make_data import write_dataset

from trainables import download
from trainables.download import download_task
from trainables.errors import DatasetError
from trainables.layouts import read_dataset

TASK = "Task99_Blobs"


class Server:
    """Serves one file over HTTP on this machine, as well or as badly as a test asks for."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.resumes = True
        self.breaks_after: int | None = None
        self.ranges: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/{TASK}.tar"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.ranges.append(wanted)
        start = 0
        if wanted and self.resumes:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            request.send_response(206 if start < len(self.content) else 416)
        else:
            request.send_response(200)
        request.send_header("Content-Length", str(len(self.content) - start))
        request.end_headers()
        end = len(self.content) if self.breaks_after is None else start + self.breaks_after
        request.wfile.write(self.content[start:end])

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("archive")
    write_dataset(folder / TASK, cases=2)
    with tarfile.open(folder / "x.tar", "w") as tar:
        tar.add(folder / TASK, TASK)
    return (folder / "x.tar").read_bytes()


@pytest.fixture
def server(archive: bytes) -> Iterator[Server]:
    server = Server(archive)
    yield server
    server.close()


def fetch(server: Server, folder: Path, **changes: Any) -> Path:
    md5 = hashlib.md5(server.content).hexdigest()
    return download_task(TASK, folder, **{"url": server.url, "md5": md5} | changes)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_task_is_fetched_checked_and_unpacked(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    folder = fetch(server, tmp_path / "data", progress=lambda done, total: seen.append((done, total)))
    assert folder == tmp_path / "data" / TASK
    assert [case.name for case in read_dataset(folder).cases] == ["case_001", "case_002"]
    assert names_in(tmp_path / "data") == [TASK]
    assert seen[-1] == (len(server.content), len(server.content))


def test_an_unpacked_task_is_left_as_it_is(server: Server, tmp_path: Path) -> None:
    folder = fetch(server, tmp_path)
    (folder / "note.txt").write_text("mine")
    assert fetch(server, tmp_path) == folder
    assert (folder / "note.txt").exists()
    assert len(server.ranges) == 1


def test_an_interrupted_download_goes_on(server: Server, tmp_path: Path) -> None:
    server.breaks_after = 5000
    size = len(server.content)
    with pytest.raises(DatasetError, match=f"the connection ended after 5000 of {size} bytes"):
        fetch(server, tmp_path)
    with pytest.raises(DatasetError, match=f"after 10000 of {size} bytes.*go on from the 0.0 MiB that are there"):
        fetch(server, tmp_path)
    assert names_in(tmp_path) == [f"{TASK}.tar.part"]
    server.breaks_after = None
    seen: list[tuple[int, int]] = []
    folder = fetch(server, tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert server.ranges == [None, "bytes=5000-", "bytes=10000-"]
    assert seen[-1] == (size, size)
    assert len(read_dataset(folder).cases) == 2


def test_a_server_that_can_not_resume_starts_over(server: Server, tmp_path: Path) -> None:
    server.resumes = False
    (tmp_path / f"{TASK}.tar.part").write_bytes(b"?" * 3000)
    assert len(read_dataset(fetch(server, tmp_path)).cases) == 2


def test_a_whole_part_is_taken(server: Server, tmp_path: Path) -> None:
    (tmp_path / f"{TASK}.tar.part").write_bytes(server.content)
    assert len(read_dataset(fetch(server, tmp_path)).cases) == 2
    assert server.ranges == [f"bytes={len(server.content)}-"]


def test_a_wrong_checksum_is_refused_and_forgotten(server: Server, tmp_path: Path) -> None:
    found = hashlib.md5(server.content).hexdigest()
    with pytest.raises(DatasetError) as caught:
        fetch(server, tmp_path, md5="0" * 32)
    assert str(caught.value) == (
        f"{tmp_path / TASK}.tar: its MD5 checksum is {found}, {TASK} has {'0' * 32}; it was deleted; download it again"
    )
    assert names_in(tmp_path) == []


def test_an_archive_fetched_by_hand_is_checked_and_kept(archive: bytes, tmp_path: Path) -> None:
    by_hand = tmp_path / f"{TASK}.tar"
    by_hand.write_bytes(archive[:-1])
    md5 = hashlib.md5(archive).hexdigest()
    with pytest.raises(DatasetError, match=f"{TASK} has {md5}; delete it or put the right file there"):
        download_task(TASK, tmp_path, url="http://127.0.0.1:1/never", md5=md5)
    by_hand.write_bytes(archive)
    folder = download_task(TASK, tmp_path, url="http://127.0.0.1:1/never", md5=md5)
    assert len(read_dataset(folder).cases) == 2
    assert by_hand.exists()


def test_no_network_says_what_to_do(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:1/{TASK}.tar"
    with pytest.raises(DatasetError) as caught:
        download_task(TASK, tmp_path, url=url, md5="0" * 32)
    message = str(caught.value)
    assert message.startswith(f"{TASK}: download from {url} failed: the server can't be reached (")
    assert message.endswith(
        "Run it again; or fetch that file by other means, "
        f"put it at {tmp_path / TASK}.tar, and run it again to check and unpack it"
    )
    assert names_in(tmp_path) == []


def test_a_refusing_server(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "answer", lambda request: request.send_error(403))
    with pytest.raises(DatasetError, match="failed: the server answered 403 Forbidden"):
        fetch(server, tmp_path)


def test_too_little_disk_is_told_first(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = download.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage._replace(free=len(server.content)))
    with pytest.raises(DatasetError, match=r"0\.0 GiB are needed to fetch and unpack it, 0\.0 GiB are free"):
        fetch(server, tmp_path)
    assert names_in(tmp_path) == []


def test_a_second_download_at_the_same_time_is_refused(server: Server, tmp_path: Path) -> None:
    with (tmp_path / f"{TASK}.tar.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DatasetError, match=f"another process is downloading {TASK} to this folder"):
            fetch(server, tmp_path)


def test_a_folder_in_the_way_is_left_alone(server: Server, tmp_path: Path) -> None:
    (tmp_path / TASK).mkdir()
    (tmp_path / TASK / "thesis.txt").write_text("mine")
    with pytest.raises(DatasetError, match=rf"{TASK}: is there already but no whole data set \(.*dataset.json"):
        fetch(server, tmp_path)
    assert (tmp_path / TASK / "thesis.txt").exists()
    assert server.ranges == []


@pytest.mark.parametrize("name", ["../outside.txt", "/tmp/outside.txt", f"{TASK}/../../outside.txt"])
def test_members_that_leave_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    with tarfile.open(folder / f"{TASK}.tar", "w") as tar:
        member = tarfile.TarInfo(name)
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))
    md5 = hashlib.md5((folder / f"{TASK}.tar").read_bytes()).hexdigest()
    with pytest.raises(DatasetError, match=r"refused, since it would write outside its folder|holds no"):
        download_task(TASK, folder, url="-", md5=md5)
    assert names_in(folder) == [f"{TASK}.tar"]
    assert not list(tmp_path.rglob("outside.txt"))
    assert not Path("/tmp/outside.txt").exists()


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_an_archive_that_grows_when_unpacked_is_refused(mode: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / f"{TASK}.tar", mode, format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo(f"{TASK}/dataset.json")
        member.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(2**43)} if mode == "w" else {}
        tar.addfile(member)
    md5 = hashlib.md5((tmp_path / f"{TASK}.tar").read_bytes()).hexdigest()
    with pytest.raises(
        DatasetError, match=r"not a readable tar|refused, since its members claim to be larger than itself"
    ):
        download_task(TASK, tmp_path, url="-", md5=md5)
    assert names_in(tmp_path) == [f"{TASK}.tar"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"no tar", "not a readable tar archive"), (b"\0" * 10240, f"holds no {TASK}/dataset.json")],
)
def test_archives_of_something_else(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / f"{TASK}.tar").write_bytes(content)
    with pytest.raises(DatasetError, match=re.escape(message)):
        download_task(TASK, tmp_path, url="-", md5=hashlib.md5(content).hexdigest())
    assert names_in(tmp_path) == [f"{TASK}.tar"]


@pytest.mark.slow  # imports MONAI
def test_links_to_members_that_are_not_there(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / f"{TASK}.tar", "w") as tar:
        member = tarfile.TarInfo(f"{TASK}/dataset.json")
        member.type, member.linkname = tarfile.LNKTYPE, f"{TASK}/elsewhere.json"
        tar.addfile(member)
    md5 = hashlib.md5((tmp_path / f"{TASK}.tar").read_bytes()).hexdigest()
    with pytest.raises(DatasetError, match=rf"{TASK}.tar: not a readable tar archive: .*elsewhere.json"):
        download_task(TASK, tmp_path, url="http://127.0.0.1:9/", md5=md5)
    assert [path.name for path in tmp_path.iterdir()] == [f"{TASK}.tar"]


def test_an_unknown_task_lists_the_ten(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        download_task("Task09_Milz", tmp_path)
    assert str(caught.value) == (
        "Task09_Milz: not a task of the Decathlon; these are Task01_BrainTumour, Task02_Heart, Task03_Liver, "
        "Task04_Hippocampus, Task05_Prostate, Task06_Lung, Task07_Pancreas, Task08_HepaticVessel, Task09_Spleen, "
        "Task10_Colon"
    )
    url, md5 = download._source("Task09_Spleen")
    assert url.endswith("/Task09_Spleen.tar")
    assert re.fullmatch("[0-9a-f]{32}", md5)
