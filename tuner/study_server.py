"""optuna-dashboard over a sweep's study, on this machine alone and for reading alone.

It has no login, and would let whoever reaches it change and delete studies, under a driver too. Only drivers write.
"""

from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any, BinaryIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna.artifacts import FileSystemArtifactStore
from optuna.artifacts.exceptions import ArtifactNotFound

from tuner.config import SweepConfig
from tuner.directory import SweepDirectory
from tuner.errors import StudyError, UserError
from tuner.storage import SWEEP, open_storage, stored_name

HOST = "127.0.0.1"

READING = {"GET", "HEAD"}

HARMLESS = [("Content-Security-Policy", "sandbox"), ("X-Content-Type-Options", "nosniff")]
"""Headers with which a browser runs nothing that an artifact may hold: a sweep's directory may come from anyone."""


class StudyServer:
    """optuna-dashboard over the study of the sweep in `directory`."""

    def __init__(self, directory: SweepDirectory, *, port: int) -> None:
        """
        Args:
            port: to listen on; 0: any that is free.

        Raises StudyError if the study can't be read or was not begun; UserError if optuna-dashboard is not installed,
        or the port is taken.
        """
        try:
            from optuna_dashboard import wsgi
        except ImportError as error:
            raise UserError("optuna-dashboard is not installed: pip install 'voxtune[dashboard]'") from error
        config = SweepConfig.read(directory.sweep_file)
        storage = open_storage(config.storage, directory.journal)
        try:
            study = storage.get_study_id_from_name(stored_name(SWEEP, config.name, config.storage))
        except KeyError as error:
            raise StudyError(f"sweep {directory.name}: no trial was begun yet") from error
        try:
            self._server = make_server(
                HOST,
                port,
                read_only(wsgi(storage, _Artifacts(directory.artifacts))),
                server_class=_Server,
                handler_class=_SilentHandler,
            )
        except OSError as error:
            raise UserError(
                f"--port: {port} can't be listened on: {error.strerror}; choose another, or 0 for any"
            ) from error
        self.url = f"http://{HOST}:{self._server.server_port}/dashboard/studies/{study}"
        """Of the sweep's own study: its storage may hold others."""

    def serve(self) -> None:
        """Answer until Ctrl-C."""
        with self._server:
            try:
                self._server.serve_forever()
            except KeyboardInterrupt:
                return


def read_only(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """The WSGI application `app`, of which only reading is left, and pictures of patients for its own pages alone."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in READING:
            artifact = environ["PATH_INFO"].startswith("/artifacts/")
            return app(environ, _harmless(start_response) if artifact else start_response)
        start_response("403 Forbidden", [("Content-Type", "application/json")])
        return [b'{"reason": "voxtune shows studies read-only: only a sweep\'s driver writes"}']

    return answer


def _harmless(start_response: Callable[..., Any]) -> Callable[..., Any]:
    def start(status: str, headers: list[tuple[str, str]], *others: Any) -> Any:
        # optuna-dashboard lets the pages of any other site read artifacts.
        kept = [(name, value) for name, value in headers if name.lower() != "access-control-allow-origin"]
        return start_response(status, [*kept, *HARMLESS], *others)

    return start


class _Artifacts(FileSystemArtifactStore):
    """Where a sweep's artifacts lie; one that was left in another driver's directory is not found, and no more."""

    def open_reader(self, artifact_id: str) -> BinaryIO:
        try:
            return super().open_reader(artifact_id)
        except ArtifactNotFound as error:
            from bottle import HTTPError  # comes with optuna-dashboard

            raise HTTPError(404, "not in this directory") from error


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: each picture that a browser loads would be a line."""
