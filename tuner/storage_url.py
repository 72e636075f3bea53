"""Where a database's password stands: in an environment variable that the sweep file's `storage:` names."""

import os
import re
from collections.abc import Mapping
from urllib.parse import quote

from tuner.errors import SweepConfigError

VARIABLE = re.compile(r"\$\{([^}]*)\}")


def expanded_url(url: str, environment: Mapping[str, str] = os.environ) -> str:
    """`url` with the value of NAME in place of each `${NAME}`.

    What stands before the `@`, user and password, is quoted: a password may hold `@`, `/` and `:`. Expand only to open
    the database; what is written and printed is the URL with its variables.

    Raises SweepConfigError naming the variable if it is not set.
    """

    def value(found: re.Match[str]) -> str:
        return value_of(found[1], environment, key="storage")

    login, at, place = url.rpartition("@")
    return VARIABLE.sub(lambda found: quote(value(found), safe=""), login) + at + VARIABLE.sub(value, place)


def value_of(name: str, environment: Mapping[str, str], *, key: str) -> str:
    """The value of the environment variable that the URL of `key` names. Raises SweepConfigError if it is not set."""
    if value := environment.get(name):
        return value
    raise SweepConfigError(f"{key}: the environment variable {name} is not set, or empty; the URL needs it")
