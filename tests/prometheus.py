"""Debian's Prometheus for tests: on loopback, with its data in a temporary folder, gone when the block ends."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from services import free_port, missing

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Prometheus:
    """A running server."""

    url: str

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The labels and value of each series that a PromQL expression gives now."""
        found = self._ask("query", query=expression)["result"]
        return [(series["metric"], float(series["value"][1])) for series in found]

    def by(self, label: str, expression: str) -> dict[str, float]:
        """The values of an expression whose series this label tells apart."""
        return {labels[label]: value for labels, value in self.query(expression)}

    def label_values(self, metric: str, label: str) -> list[str]:
        """As Grafana asks for the values of a board's variable."""
        return self._ask(f"label/{label}/values", **{"match[]": metric})

    def targets(self) -> dict[str, str]:
        """What it scrapes, and how that went: `up`, or the error."""
        return {t["scrapeUrl"]: t["lastError"] or t["health"] for t in self._ask("targets")["activeTargets"]}

    def _ask(self, what: str, **parameters: str) -> Any:
        with urlopen(f"{self.url}/api/v1/{what}?{urlencode(parameters)}", timeout=20) as answer:
            return json.load(answer)["data"]


@contextmanager
def prometheus(config: Path, folder: Path) -> Iterator[Prometheus]:
    """A server with this configuration, its data in `folder`. Skips where none is installed, but not in CI."""
    program = shutil.which("prometheus")
    if program is None:
        missing("Prometheus is not installed; `.ci/services` installs it on Debian")
    server = Prometheus(url=f"http://127.0.0.1:{free_port()}")
    command = [program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", "--log.level=warn"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--web.listen-address={server.url.removeprefix('http://')}"], stdout=log, stderr=log
        )
        try:
            until(lambda: _ready(server), seconds=30, what=f"Prometheus answers: {folder / 'prometheus.log'}")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            finally:
                process.kill()


def until(true: Callable[[], T], *, seconds: float, what: str) -> T:
    """Wait for the call to give something that is true, and return that; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.5)
    return found


def _ready(server: Prometheus) -> bool:
    try:
        urlopen(f"{server.url}/-/ready", timeout=5).close()
    except (URLError, OSError):
        return False
    return True
