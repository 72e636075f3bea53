"""Makes the pictures of `docs/watching.md` again: a sweep as Ray's dashboard and optuna-dashboard show it in Chromium.

    apt-get install chromium
    python docs/make_pictures.py

The sweep trains nothing (`trainables.toy`), but its Ray, study and dashboards are real.
"""

import argparse
import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from browser import CURVES, DRAWN, HISTORY, browser

IMAGES = Path(__file__).parent / "images"

VOXTUNE = ("python3", "-m", "tuner.cli")
"""As Ray's dashboard shows it: without the folder of this Python."""

SWEEP = """
name: brain-tumour
trainable: trainables.toy:ToyRun
budget: {unit: steps, maximum: 90}
training: {seconds_per_rung: 1.5}
space:
  learning_rate: {float: [1e-4, 1e-2], log: true}
  batch_size: {choice: [2, 4, 8]}
  patch_size: {choice: [64, 96, 128, 160]}
search: {trials: 40}
confirm: {top: 0}
resources: {cpus_per_trial: 1, trials_at_once: 2, memory_limit_gib: 3.5, memory_estimate: false}
"""


@contextmanager
def started(*arguments: str, folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A voxtune command; ended by Ctrl-C if the block does not wait for it."""
    process = subprocess.Popen([*VOXTUNE, *arguments], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        with process:
            pass


async def take(folder: Path, images: Path) -> None:
    token = secrets.token_hex(32)
    (folder / "token").touch(mode=0o600)
    (folder / "token").write_text(token)
    (folder / "sweep.yaml").write_text(SWEEP)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
    }
    ray_file = folder / "runs" / "brain-tumour" / "ray.json"
    async with browser(folder / "browser") as page:
        with started("run", "sweep.yaml", folder=folder, environment=environment) as sweep:
            while "trial 9" not in (line := sweep.stdout.readline() if sweep.stdout else ""):
                assert line, "the sweep ended early"
            ray = json.loads(ray_file.read_text())["dashboard"]
            await page.open(f"{ray}/#/jobs", width=1500, height=540, token=token)
            await page.until("document.body.innerText.includes('brain-tumour')")
            await page.picture(images / "ray_jobs.png")
            await page.open(f"{ray}/#/actors", width=1500, height=640, token=token)
            await page.until("document.body.innerText.includes('slot 1')")
            await page.picture(images / "ray_actors.png")
            while sweep.stdout and sweep.stdout.readline():  # until it ends
                pass
        with started("dashboard", "brain-tumour", "--port", "0", folder=folder, environment=environment) as shown:
            while not (line := shown.stdout.readline() if shown.stdout else "").startswith("optuna-dashboard: "):
                assert line, "no optuna-dashboard"
            study = line.split()[1]
            await page.open(study, width=1300, height=2400)
            await page.until(DRAWN)
            await page.picture(images / "optuna_history.png", card=HISTORY)
            await page.picture(images / "optuna_curves.png", card=CURVES)
            with urlopen(study.replace("/dashboard/", "/api/")) as answer:
                trials = json.load(answer)["trials"]
            too_large = next(
                trial["number"]
                for trial in trials
                if {"key": "stop_reason", "value": "out of memory"} in trial["user_attrs"]
            )
            await page.open(f"{study}/trials?numbers={too_large}", width=1300, height=760)
            await page.until(f"document.body.innerText.includes('(trial_id={too_large})')")
            await page.picture(images / "optuna_infeasible.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=IMAGES, help="folder of the pictures")
    images = parser.parse_args().output
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        asyncio.run(take(Path(folder), images.absolute()))


if __name__ == "__main__":
    main()
