"""A server that answers as a Ray dashboard does, without a Ray behind it."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from typing import Any

OURS = version("ray")


@contextmanager
def dashboard(
    *, token: str | None = None, ray: str | None = OURS, status: int = 200, jobs: Sequence[dict[str, Any]] = ()
) -> Iterator[str]:
    """The URL of the server while the block runs.

    Args:
        token: what it asks for, if for anything.
        ray: its version of Ray; None: it says something else.
        jobs: what it tells of them.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("Authorization")
            wrong = token is not None and given != f"Bearer {token}"
            self.send_response((401 if given is None else 403) if wrong else status)
            self.end_headers()
            if not wrong:
                told = {"version": "4", "ray_version": ray} if ray else ["hello"]
                self.wfile.write(json.dumps(list(jobs) if self.path == "/api/jobs/" else told).encode())

        def log_message(self, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
