"""A cluster's dashboard, through which jobs are submitted: is it there, is it Ray's, does it let us in?"""

import json
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from importlib.metadata import version
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from packaging.version import InvalidVersion, Version

from cluster.errors import ClusterError
from cluster.token import Token, let_in

PATIENCE_SECONDS = 8
"""How long a dashboard may take for an answer; it is asked at most twice."""


@dataclass(frozen=True, kw_only=True)
class JobServer:
    """A dashboard that answers us."""

    url: str
    token: Token | None
    """What it let us in for; None if it lets anybody in."""


def find_job_server(address: str) -> JobServer:
    """The dashboard at `address`, `http://HOST:PORT` or `https://HOST`.

    Raises ClusterError, within 30 s, if none answers, if it refuses our token, or if its Ray is not ours.
    """
    url = _checked(address)
    answer, token = let_in(url, partial(_ask, url))
    _check_version(url, answer)
    return JobServer(url=url, token=token)


def _checked(address: str) -> str:
    """The address without a slash at its end. Raises ClusterError if it is none of a dashboard."""
    wanted = "--address: expected the address of a Ray dashboard, http://HOST:8265"
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise ClusterError(f"{wanted}; got {address!r}: {error}") from None
    if parts.username or parts.password:
        raise ClusterError(f"{wanted}; it must hold no user or password: the token is found in ~/.ray/auth_token")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        note = " (`voxtune run` takes HOST:PORT)" if "://" not in address else ""
        raise ClusterError(f"{wanted}; got {address!r}{note}")
    if port == 0 or parts.query or parts.fragment:
        raise ClusterError(f"{wanted}; got {address!r}")
    return address.rstrip("/")


def _ask(url: str, token: Token | None) -> Any:
    """What the dashboard says of its version; None if it lets us not in, the HTTP status if it can't say."""
    request = Request(f"{url}/api/version", headers=token.headers if token else {})
    try:
        with urlopen(request, timeout=PATIENCE_SECONDS) as response:
            return json.load(response) or {}
    except HTTPError as error:
        return None if error.code in (401, 403) else error.code
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise ClusterError(
            f"no Ray dashboard answers at {url}: {reason}. Is the cluster up? A dashboard mostly listens on its own "
            "machine alone: make a tunnel, `ssh -N -L 8265:localhost:8265 HEAD`, and use http://localhost:8265"
        ) from error
    except (ValueError, HTTPException):
        return {}


def _check_version(url: str, answer: Any) -> None:
    """Raises ClusterError if what answered is no dashboard, or one of another Ray than ours."""
    try:
        theirs = Version(answer["ray_version"])
    except (TypeError, KeyError, InvalidVersion):
        status = f" (HTTP status {answer})" if isinstance(answer, int) else ""
        raise ClusterError(f"what answers at {url} is no Ray dashboard{status}; check host and port") from None
    ours = Version(version("ray"))
    if theirs.release[:2] != ours.release[:2]:
        raise ClusterError(
            f"the cluster at {url} runs Ray {theirs}, and this voxtune needs Ray {ours.major}.{ours.minor}: "
            f'start the cluster with `pip install "ray[default,tune]=={ours}"` on every node'
        )
