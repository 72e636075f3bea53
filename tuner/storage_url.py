"""Where a database's password stands: in an environment variable that the sweep file's `storage:` names."""

import os
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote

from tuner.errors import SweepConfigError

VARIABLE = re.compile(r"\$\{([^}]*)\}")


def expanded_url(url: str, environment: Mapping[str, str] = os.environ) -> str:
    """`url` with the value of NAME in place of each `${NAME}`.

    What stands before the `@`, user and password, is quoted: a password may hold `@`, `/` and `:`. Expand only to open
    the database; what is written and printed is the URL with its variables.

    Raises SweepConfigError naming the variable if it is not set.
    """
    login, at, place = url.rpartition("@")
    return VARIABLE.sub(_value(environment, _quoted), login) + at + VARIABLE.sub(_value(environment, str), place)


def _quoted(value: str) -> str:
    return quote(value, safe="")


def _value(environment: Mapping[str, str], write: Callable[[str], str]) -> Callable[[re.Match[str]], str]:
    def value(found: re.Match[str]) -> str:
        name = found[1]
        if not environment.get(name):
            raise SweepConfigError(f"storage: the environment variable {name} is not set, or empty; the URL needs it")
        return write(environment[name])

    return value
