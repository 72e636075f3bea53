"""Makes the pictures of `docs/watching.md` again: a sweep as Ray's dashboard and optuna-dashboard show it in Chromium.

    apt-get install chromium
    python docs/make_pictures.py

The sweep trains nothing (`trainables.toy`), but its Ray, study and dashboards are real.
"""

import argparse
import asyncio
import base64
import io
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import aiohttp
from PIL import Image

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

COLOURS = 96
"""Of a picture: as many as such pages have, but for the edges of letters."""

CARD = """
(heading => {
    const found = [...document.querySelectorAll("h6")].find(one => one.innerText == heading);
    const {x, y, width, height} = found.closest(".MuiCard-root").getBoundingClientRect();
    return JSON.stringify({x, y, width, height, scale: 1});
})(%s)
"""
"""Where a card of optuna-dashboard lies."""


class Page:
    """A page of a browser, spoken to by Chrome's DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._sent = 0

    async def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._sent += 1
        await self._socket.send_json({"id": self._sent, "method": method, "params": parameters})
        while True:
            answer = await self._socket.receive_json()
            if answer.get("id") == self._sent:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])

    async def open(self, url: str, *, width: int, height: int, token: str | None = None) -> None:
        """Show a page; `token` is what its user would have typed into Ray's dialog."""
        await self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        if token:
            await self._call("Network.setCookie", name="ray-authentication-token", value=token, url=url)
        await self._call("Page.navigate", url=url)

    async def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        return (await self._call("Runtime.evaluate", expression=script, returnByValue=True))["result"].get("value")

    async def until(self, script: str, *, seconds: float = 40) -> None:
        """Wait until a JavaScript expression is true, and drawn."""
        deadline = time.monotonic() + seconds
        while not await self.run(script):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{script}; the page says: {await self.run('document.body.innerText')}")
            await asyncio.sleep(0.5)
        await asyncio.sleep(2)

    async def picture(self, path: Path, *, card: str | None = None) -> None:
        """Write what is seen, or the card with this heading, as a PNG of few colours."""
        clip = {} if card is None else {"clip": json.loads(await self.run(CARD % json.dumps(card)))}
        taken = await self._call("Page.captureScreenshot", format="png", **clip)
        image = Image.open(io.BytesIO(base64.b64decode(taken["data"]))).convert("RGB")
        image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Page]:
    """A page of a Chromium that leaves nothing behind but `folder`."""
    options = ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--remote-debugging-port=0"]
    command = ["chromium", *options, f"--user-data-dir={folder}", "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            port_file = folder / "DevToolsActivePort"
            while not (port_file.is_file() and port_file.read_text().count("\n")):
                assert process.poll() is None, "chromium did not start"
                await asyncio.sleep(0.2)
            port = port_file.read_text().splitlines()[0]
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                    (page,) = [found for found in await answer.json() if found["type"] == "page"]
                async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    yield Page(socket)
        finally:
            process.terminate()


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
            await page.until("document.querySelectorAll('.js-plotly-plot').length > 3")
            await page.picture(images / "optuna_history.png", card="History")
            await page.picture(images / "optuna_curves.png", card="Intermediate values")
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
