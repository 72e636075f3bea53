"""The secret that a Ray cluster asks its users for, found where Ray itself looks for it."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from cluster.errors import ClusterError


@dataclass(frozen=True, kw_only=True)
class Token:
    """Whoever holds it may run programs on the cluster: never to be shown, logged or put on a command line."""

    secret: str = field(repr=False)
    source: str
    """The variable or file that it came from."""

    @property
    def headers(self) -> dict[str, str]:
        """What a request to the cluster's dashboard must carry."""
        return {"Authorization": f"Bearer {self.secret}"}


def find_token() -> Token | None:
    """The token in RAY_AUTH_TOKEN, the file RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token, in this order; None if none is.

    Raises ClusterError if RAY_AUTH_TOKEN_PATH names a file without one.
    """
    if secret := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return Token(secret=secret, source="RAY_AUTH_TOKEN")
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    file = Path(named) if named else Path.home() / ".ray" / "auth_token"
    try:
        secret = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        if named:
            raise ClusterError(f"RAY_AUTH_TOKEN_PATH: no token can be read from {file}: {error}") from error
        return None
    if named and not secret:
        raise ClusterError(f"RAY_AUTH_TOKEN_PATH: {file} is empty; it must hold the cluster's token")
    return Token(secret=secret, source=str(file)) if secret else None
