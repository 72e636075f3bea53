"""What is written for Prometheus and Grafana, and that the board says only what Grafana knows."""

import json
import shlex
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from cluster.errors import ClusterError
from cluster.job_server import JobServer
from cluster.monitoring import BOARD, write_monitoring
from cluster.token import Token
from tuner.metric_values import STATE_METRICS, SWEEP_METRICS, TRIAL_METRICS


def server(source: str | None) -> JobServer:
    token = Token(secret="sesame", source=source) if source else None
    return JobServer(url="http://head:8265", token=token)


def test_prometheus_asks_the_dashboard_with_the_token_of_a_file(tmp_path: Path) -> None:
    write_monitoring(tmp_path / "there", server("/home/me/.ray/auth_token"))
    written = yaml.safe_load((tmp_path / "there" / "prometheus.yml").read_text())
    ((discovery,),) = (job["http_sd_configs"] for job in written["scrape_configs"])
    assert discovery["url"] == "http://head:8265/api/prometheus/sd"
    assert discovery["authorization"] == {"type": "Bearer", "credentials_file": "/home/me/.ray/auth_token"}


def test_without_a_token(tmp_path: Path) -> None:
    write_monitoring(tmp_path / "there", server(None))
    assert "authorization" not in (tmp_path / "there" / "prometheus.yml").read_text()


def test_a_token_in_a_variable(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"^--grafana: .* in the variable RAY_AUTH_TOKEN: put it into ~/.ray/auth"):
        write_monitoring(tmp_path / "there", server("RAY_AUTH_TOKEN"))
    assert not (tmp_path / "there").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    write_monitoring(tmp_path / "there", server(None))  # an empty folder is as good as none
    (tmp_path / "there" / "prometheus.yml").write_text("mine")
    (tmp_path / "file").touch()
    for path in (tmp_path / "there", tmp_path / "file"):
        with pytest.raises(ClusterError, match=f"^--grafana: {path} exists already: nothing was written; choose"):
            write_monitoring(path, server(None))
    assert (tmp_path / "there" / "prometheus.yml").read_text() == "mine"


def test_everything_listens_on_loopback_and_lies_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "what is there; it's mine"
    prometheus, grafana = map(shlex.split, write_monitoring(folder, server(None)))
    assert prometheus[:2] == ["prometheus", f"--config.file={folder}/prometheus.yml"]
    assert grafana[-2:] == ["--config", f"{folder}/grafana.ini"]
    settings = ConfigParser()
    settings.read(folder / "grafana.ini")
    assert settings["server"]["http_addr"] == "127.0.0.1"
    provisioning = Path(settings["paths"]["provisioning"])
    ((provider,),) = (
        yaml.safe_load(file.read_text())["providers"] for file in (provisioning / "dashboards").glob("*.yml")
    )
    assert [path.name for path in Path(provider["options"]["path"]).iterdir()] == ["voxtune.json"]
    ((source,),) = (
        yaml.safe_load(file.read_text())["datasources"] for file in (provisioning / "datasources").glob("*.yml")
    )
    assert source["url"] == "http://127.0.0.1:9090"
    assert prometheus[-1] == "--web.listen-address=127.0.0.1:9090"


def board() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(BOARD.read_text())
    return found


def test_board_holds_what_grafana_knows_alone() -> None:
    """Read by Grafana's own types and written again nothing is lost: no key is misspelt or in a wrong place."""
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(board())))
    assert _lost(board(), again) == []
    misspelt = board() | {"graphToltip": 1}
    assert _lost(misspelt, json.loads(JSONEncoder().encode(Dashboard.from_json(misspelt)))) == [".graphToltip"]


def test_board_panels_do_not_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in board()["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, (panel["title"], taken[x, y])
                taken[x, y] = panel["title"]
    ids = [panel["id"] for panel in board()["panels"]]
    assert len(set(ids)) == len(ids)


def test_board_shows_every_metric() -> None:
    text = BOARD.read_text()
    assert [name for name in {**SWEEP_METRICS, **STATE_METRICS, **TRIAL_METRICS} if f"ray_{name}{{" not in text] == []


def _lost(content: Any, again: Any, where: str = "") -> list[str]:
    """Where `again` is not what `content` is; keys that it has beside are Grafana's defaults."""
    if isinstance(content, dict) and isinstance(again, dict):
        return [
            line
            for key, value in content.items()
            for line in (_lost(value, again[key], f"{where}.{key}") if key in again else [f"{where}.{key}"])
        ]
    if isinstance(content, list) and isinstance(again, list) and len(content) == len(again):
        pairs = enumerate(zip(content, again, strict=True))
        return [line for index, (one, other) in pairs for line in _lost(one, other, f"{where}[{index}]")]
    return [] if content == again else [where]
