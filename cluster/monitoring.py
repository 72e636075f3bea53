"""Writes what Prometheus and Grafana need to show a cluster's metrics, ours among them.

    DIR/prometheus.yml              scrapes every node that the cluster's dashboard names
    DIR/grafana.ini                 Grafana on this machine alone, without a login
    DIR/provisioning/...            its data source, Prometheus, and where its boards lie
    DIR/boards/voxtune.json         the board, a copy of `grafana/voxtune.json` beside this file

Ray tells Prometheus by two ways where its nodes' metrics are: a file in the head's session folder, another one for each
start of Ray, and its dashboard, always at the same address. We take the dashboard: that also works from elsewhere, and
what is written once holds for each Ray that is started there later.
"""

import shlex
import shutil
from pathlib import Path
from typing import Any

import yaml

from cluster.errors import ClusterError
from cluster.job_server import JobServer

BOARD = Path(__file__).parent / "grafana" / "voxtune.json"

PROMETHEUS = "127.0.0.1:9090"
GRAFANA = "127.0.0.1:3000"
"""Their usual ports, which Ray's dashboard looks at too, but on this machine alone."""

INTERVAL = "10s"
"""Ray's metrics change no faster."""

GRAFANA_INI = """\
[server]
http_addr = {host}
http_port = {port}

[paths]
data = {folder}/grafana
provisioning = {folder}/provisioning

; Whoever reaches it may look, and Ray's dashboard may show its panels: keep it on this machine.
[auth.anonymous]
enabled = true
org_role = Viewer

[security]
allow_embedding = true
; Its first administrator has a password that everybody knows.
disable_initial_admin_creation = true

[analytics]
reporting_enabled = false
check_for_updates = false
"""


def write_monitoring(folder: Path, server: JobServer) -> list[str]:
    """Write the configuration for the cluster of `server` into the new `folder`.

    The token is not copied: Prometheus reads it from the file where it lies. Returns the two programs' command lines.

    Raises ClusterError if something stands at `folder`, or if the token is in no file.
    """
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ClusterError(f"--grafana: {folder} exists already: nothing was written; choose another folder")
    discovery = _discovery(server)  # before anything is written
    host, _, port = GRAFANA.partition(":")
    _write(folder / "prometheus.yml", {"global": {"scrape_interval": INTERVAL}, "scrape_configs": [discovery]})
    (folder / "grafana.ini").write_text(GRAFANA_INI.format(host=host, port=port, folder=folder), encoding="utf-8")
    _write(folder / "provisioning/datasources/voxtune.yml", _DATA_SOURCE)
    _write(folder / "provisioning/dashboards/voxtune.yml", _boards(folder / "boards"))
    (folder / "boards").mkdir()
    shutil.copy(BOARD, folder / "boards")
    files = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/prometheus"]
    return [
        shlex.join(["prometheus", *files, f"--web.listen-address={PROMETHEUS}"]),
        shlex.join(["grafana", "server", "--homepath", "/usr/share/grafana", "--config", f"{folder}/grafana.ini"]),
    ]


def _discovery(server: JobServer) -> dict[str, Any]:
    """A scrape configuration that asks the cluster's dashboard for its nodes."""
    asked: dict[str, Any] = {"url": f"{server.url}/api/prometheus/sd", "refresh_interval": INTERVAL}
    if server.token is not None:
        if server.token.file is None:
            raise ClusterError(
                "--grafana: Prometheus reads the cluster's token from a file, and here it is in the variable "
                f"{server.token.source}: put it into ~/.ray/auth_token"
            )
        # The type is Prometheus's default, but 2.42 sends none here unless it is named.
        asked["authorization"] = {"type": "Bearer", "credentials_file": str(server.token.file.absolute())}
    return {"job_name": "ray", "http_sd_configs": [asked]}


_DATA_SOURCE = {
    "apiVersion": 1,
    "datasources": [
        {
            "name": "Prometheus",  # what Ray's dashboard looks for
            "type": "prometheus",
            "access": "proxy",
            "url": f"http://{PROMETHEUS}",
            "isDefault": True,
            "jsonData": {"timeInterval": INTERVAL},
        }
    ],
}


def _boards(folder: Path) -> dict[str, Any]:
    provider = {"name": "voxtune", "folder": "voxtune", "type": "file", "options": {"path": str(folder)}}
    return {"apiVersion": 1, "providers": [provider]}


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
