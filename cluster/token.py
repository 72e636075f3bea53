"""The secret that a Ray cluster asks its users for, found where Ray itself looks for it."""

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from cluster.errors import ClusterError

T = TypeVar("T")

_VARIABLE = "RAY_AUTH_TOKEN"


@dataclass(frozen=True, kw_only=True)
class Token:
    """Whoever holds it may run programs on the cluster: never to be shown, logged or put on a command line."""

    secret: str = field(repr=False)
    source: str
    """The variable or file that it came from."""

    @property
    def file(self) -> Path | None:
        """Where it lies; None if it is in a variable."""
        return None if self.source == _VARIABLE else Path(self.source)

    @property
    def headers(self) -> dict[str, str]:
        """What a request to the cluster's dashboard must carry."""
        return {"Authorization": f"Bearer {self.secret}"}


def let_in(where: str, ask: Callable[[Token | None], T | None]) -> tuple[T, Token | None]:
    """What a cluster answers, and the token that it let us in for; None if it lets anybody in.

    Args:
        where: what is asked, for messages.
        ask: asks it with a token or without; its answer is None where it refuses.

    Raises ClusterError if it asks for a token and there is none here, or another cluster's.
    """
    answer = ask(None)
    if answer is not None:
        return answer, None
    token = find_token()
    if token is None:
        raise ClusterError(
            f"{where} asks for a token, and there is none here: put the cluster's into ~/.ray/auth_token, or name the "
            "file that holds it in RAY_AUTH_TOKEN_PATH"
        )
    answer = ask(token)
    if answer is None:
        raise ClusterError(
            f"{where} refuses the token of {token.source}: it is another cluster's; "
            "get this one's by `ray get-auth-token` on its head"
        )
    return answer, token


def find_token() -> Token | None:
    """The token in RAY_AUTH_TOKEN, the file RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token, in this order; None if none is.

    Raises ClusterError if RAY_AUTH_TOKEN_PATH names a file without one.
    """
    if secret := os.environ.get(_VARIABLE, "").strip():
        return Token(secret=secret, source=_VARIABLE)
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    file = Path(named) if named else _at_home()
    keep_private()
    try:
        secret = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        if named:
            raise ClusterError(f"RAY_AUTH_TOKEN_PATH: no token can be read from {file}: {error}") from error
        return None
    if named and not secret:
        raise ClusterError(f"RAY_AUTH_TOKEN_PATH: {file} is empty; it must hold the cluster's token")
    return Token(secret=secret, source=str(file)) if secret else None


def keep_private() -> None:
    """Have its owner alone read ~/.ray/auth_token, which Ray makes readable for all; a file named elsewhere stays."""
    file = _at_home()
    with suppress(OSError):  # there is none, or it is another user's
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & 0o077:
            file.chmod(mode & 0o700)


def _at_home() -> Path:
    return Path.home() / ".ray" / "auth_token"
