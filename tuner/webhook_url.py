"""The address of `on_end:`, which is often a secret: who knows a chat's webhook can write there."""

import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from tuner.errors import SweepConfigError
from tuner.storage_url import VARIABLE, value_of

RULE = "must be a URL that begins with http:// or https://, or with ${NAME}, a variable that holds such a URL"


def check_form(url: str) -> str:
    """The URL as a sweep file has it, whose variables may not be set yet. Raises ValueError; it shows no value."""
    if not re.match(r"https?://.|\$\{\w+\}", url, re.IGNORECASE):
        raise ValueError(RULE)
    if not VARIABLE.search(url):
        _check(url)
    return url


def resolved(url: str, environment: Mapping[str, str] = os.environ) -> str:
    """The URL with its variables' values, to be used at once and neither written nor printed.

    Raises SweepConfigError, which names no value, if a variable is not set or something else than a URL comes out.
    """
    whole = VARIABLE.sub(lambda found: value_of(found[1], environment, key="on_end"), url)
    try:
        _check(whole)
    except ValueError as error:
        raise SweepConfigError(f"on_end: {error}") from None
    return whole


def is_secret(url: str | None) -> bool:
    """Whether a file that holds the URL is for its owner's eyes alone: it stands there itself, not a variable."""
    return url is not None and not VARIABLE.search(url)


def shown(url: str) -> str:
    """The host that the sweep file names, or the variable that holds it."""
    return urlsplit(url).netloc if url.lower().startswith("http") else url.partition("}")[0] + "}"


def _check(url: str) -> None:
    """Raises ValueError, without the value, if a URL can't be posted to."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s\x00-\x20\x7f-\U0010ffff]", url):
        raise ValueError(RULE)
    if "@" in parts.netloc:
        raise ValueError("must hold no user and password before its host")
