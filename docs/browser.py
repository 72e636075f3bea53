"""A headless Chromium, driven by Chrome's DevTools protocol: looks at dashboards, for pictures and for tests."""

import asyncio
import base64
import io
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image

HISTORY, CURVES = "History", "Intermediate values"
"""Headings of optuna-dashboard's cards."""

DRAWN = "document.querySelectorAll('.js-plotly-plot').length > 3"
"""Whether optuna-dashboard has drawn a study's plots."""

SOFTWARE_GL = "--enable-unsafe-swiftshader"
"""WebGL, which some charts need, drawn by the processor where there is no GPU; safe with pages that are ours."""

COLOURS = 96
"""Of a picture: as many as such pages have, but for the edges of letters."""

_CARD = """
[...document.querySelectorAll("h6")].find(one => one.innerText == %s).closest(".MuiCard-root")
"""
"""A card of optuna-dashboard, by its heading."""

_PLACE = """
(({x, y, width, height}) => JSON.stringify({x, y, width, height, scale: 1}))(%s.getBoundingClientRect())
"""


_CODES = {"Enter": {"windowsVirtualKeyCode": 13}}

_REQUEST = "Network.requestWillBeSent"


class Page:
    """A page of a browser, spoken to by Chrome's DevTools protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._sent = 0
        self._events: list[dict[str, Any]] = []

    async def listen(self) -> None:
        """From now on keep what the page complains of and asks for, for `complaints` and `requests`."""
        for domain in ("Runtime", "Log", "Network"):
            await self._call(f"{domain}.enable")

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, and what the browser refused, since `listen`.

        What a graphics driver says of its own speed (`rendering`) is left out.
        """
        found = []
        for event in self._events:
            told = event["params"]
            match event["method"]:
                case "Runtime.exceptionThrown":
                    found.append(json.dumps(told["exceptionDetails"]))
                case "Runtime.consoleAPICalled" if told["type"] in ("error", "warning", "assert"):
                    found.append(json.dumps(told["args"]))
                case "Log.entryAdded" if told["entry"]["level"] in ("error", "warning"):
                    if told["entry"]["source"] != "rendering":
                        found.append(told["entry"]["text"])
        return found

    def requests(self) -> list[str]:
        """The addresses that were asked for since `listen`, those of data in the page itself left out."""
        sent = [event["params"]["request"]["url"] for event in self._events if event["method"] == _REQUEST]
        return [url for url in sent if not url.startswith(("data:", "blob:"))]

    async def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._sent += 1
        await self._socket.send_json({"id": self._sent, "method": method, "params": parameters})
        while True:
            answer = await self._socket.receive_json()
            if answer.get("id") == self._sent:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])
            if answer.get("method"):
                self._events.append(answer)

    async def open(self, url: str, *, width: int, height: int, token: str | None = None, phone: bool = False) -> None:
        """Show a page; `token` is what its user would have typed into Ray's dialog, a `phone` is touched."""
        await self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )
        await self._call("Emulation.setTouchEmulationEnabled", enabled=phone)
        if token:
            await self._call("Network.setCookie", name="ray-authentication-token", value=token, url=url)
        await self._call("Page.navigate", url=url)

    async def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        return (await self._call("Runtime.evaluate", expression=script, returnByValue=True))["result"].get("value")

    async def press(self, key: str) -> None:
        """A key, such as `Enter`, where the focus is."""
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            await self._call("Input.dispatchKeyEvent", type=kind, key=key, code=key, **_CODES.get(key, {}), **text)

    async def until(self, script: str, *, seconds: float = 40, pause: float = 2) -> None:
        """Wait until a JavaScript expression is true, and `pause` seconds more, until it is drawn."""
        deadline = time.monotonic() + seconds
        while not await self.run(script):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{script}; the page says: {await self.run('document.body.innerText')}")
            await asyncio.sleep(min(0.5, pause))
        await asyncio.sleep(pause)

    async def plotted(self, card: str) -> list[dict[str, Any]]:
        """The lines of the plot in the card with this heading, as plotly has them."""
        script = f"JSON.stringify({_card(card)}.querySelector('.js-plotly-plot').data)"
        lines: list[dict[str, Any]] = json.loads(await self.run(script))
        return lines

    async def picture(self, path: Path, *, card: str | None = None) -> None:
        """Write what is seen, or the card with this heading, as a PNG of few colours."""
        clip = {} if card is None else {"clip": json.loads(await self.run(_PLACE % _card(card)))}
        taken = await self._call("Page.captureScreenshot", format="png", **clip)
        image = Image.open(io.BytesIO(base64.b64decode(taken["data"]))).convert("RGB")
        image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Page]:
    """A page of a Chromium that leaves nothing behind but `folder`."""
    options = ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--remote-debugging-port=0", SOFTWARE_GL]
    program = shutil.which("chromium")
    if program is None:
        raise FileNotFoundError("chromium is not installed: apt-get install chromium")
    command = [program, *options, f"--user-data-dir={folder}", "about:blank"]
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


def _card(heading: str) -> str:
    return (_CARD % json.dumps(heading)).strip()
