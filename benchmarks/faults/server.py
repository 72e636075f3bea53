"""A PostgreSQL server that can be stopped and started again over the same data."""

import secrets
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from services import PostgreSQL, free_port, postgresql_binaries, start_postgresql


@dataclass
class Server:
    folder: Path
    server: PostgreSQL
    process: "subprocess.Popen[bytes]"

    @classmethod
    def start(cls, folder: Path) -> "Server":
        """With an empty database."""
        binaries = postgresql_binaries()
        if binaries is None:
            raise RuntimeError("PostgreSQL is not installed")
        folder.mkdir(parents=True)
        server = PostgreSQL(port=free_port(), password=secrets.token_hex(8))
        return cls(folder, server, start_postgresql(server, binaries, folder))

    @property
    def url(self) -> str:
        return self.server.url()

    def stop(self) -> None:
        """At once, as an administrator restarts it: every session is cut."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=120)

    def begin(self) -> None:
        binaries = postgresql_binaries()
        assert binaries
        self.process = start_postgresql(self.server, binaries, self.folder)

    def end(self) -> None:
        if self.process.poll() is None:
            self.stop()
