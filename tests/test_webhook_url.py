"""`on_end:` as a sweep file may have it: which addresses it takes, variables in it, and who may read it."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml
from make_sweep import TOY_SWEEP

from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.drive import Drive
from tuner.errors import SweepConfigError
from tuner.sweep import resume_sweep, run_sweep
from tuner.webhook_url import resolved


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("ftp://example.org/x", "must be a URL that begins with http:// or https://"),
        ("hooks.example.org/secret", "must be a URL that begins with http:// or https://"),
        ("https://", "must be a URL that begins with http:// or https://"),
        ("https:///secret", "must be a URL that begins with http:// or https://"),
        ("https://example.org/a secret", "must be a URL that begins with http:// or https://"),
        ("https://me:secret@example.org/", "must hold no user and password before its host"),
        (7, "must be text or null"),
    ],
)
def test_a_sweep_file_with_another_url_is_refused_and_the_url_not_shown(tmp_path: Path, url: object, rule: str) -> None:
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({**TOY_SWEEP, "on_end": url}))
    with pytest.raises(SweepConfigError) as caught:
        SweepConfig.read(tmp_path / "sweep.yaml")
    assert str(caught.value).startswith(f"{tmp_path}/sweep.yaml: on_end: {rule}")
    assert "secret" not in str(caught.value)


def test_a_variable_stands_for_the_url_or_a_part_of_it() -> None:
    config = SweepConfig.model_validate({**TOY_SWEEP, "on_end": "${HOOK}"})
    assert config.on_end is not None
    assert resolved(config.on_end, {"HOOK": "https://chat.example/secret"}) == "https://chat.example/secret"
    assert resolved("https://chat.example/${KEY}", {"KEY": "a@b"}) == "https://chat.example/a@b"
    assert "on_end: ${HOOK}\n" in config.to_yaml()
    with pytest.raises(SweepConfigError, match=r"^on_end: the environment variable HOOK is not set, or empty"):
        resolved("${HOOK}", {"HOOK": ""})
    with pytest.raises(SweepConfigError, match=r"^on_end: must be a URL that begins with http://") as caught:
        resolved("${HOOK}", {"HOOK": "file:///secret"})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("begin", [run_sweep, lambda config, runs: resume_sweep(SweepDirectory(runs / "toy"))])
def test_a_variable_that_is_not_set_is_told_before_anything_is_started(
    tmp_path: Path, begin: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VOXTUNE_HOOK", raising=False)
    config = SweepConfig.model_validate({**TOY_SWEEP, "on_end": "${VOXTUNE_HOOK}"})
    if begin is not run_sweep:
        (tmp_path / "toy").mkdir()
        (tmp_path / "toy" / "sweep.yaml").write_text(config.to_yaml())
        (tmp_path / "toy" / "environment.json").write_text("{}")
    with pytest.raises(SweepConfigError, match=r"^on_end: the environment variable VOXTUNE_HOOK is not set"):
        begin(config, runs=tmp_path)
    assert begin is not run_sweep or not (tmp_path / "toy").exists()


def test_a_url_that_stands_in_the_file_itself_is_for_its_owners_eyes_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.sweep.told_at_end", lambda *arguments, **options: nullcontext())
    monkeypatch.setattr(Drive, "run", lambda drive, **options: setattr(drive, "began", True))
    secret = "https://chat.example/secret"
    monkeypatch.setenv("VOXTUNE_HOOK", secret)
    for name, url, mode in (("plain", secret, 0o600), ("variable", "${VOXTUNE_HOOK}", 0o644)):
        run_sweep(SweepConfig.model_validate({**TOY_SWEEP, "name": name, "on_end": url}), runs=tmp_path)
        assert (tmp_path / name / "sweep.yaml").stat().st_mode & 0o777 == mode
