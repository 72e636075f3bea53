"""What `benchmarks/guards.py` takes out: the guards of docs/security.md as data, and the tests that must then fail."""

from collections.abc import Mapping

from guarding.access import GUARDS as ACCESS
from guarding.code import GUARDS as CODE
from guarding.files import GUARDS as FILES
from guarding.guard import Guard
from guarding.names import GUARDS as NAMES
from guarding.secrets import GUARDS as SECRETS
from guarding.shown import GUARDS as SHOWN

GUARDS: Mapping[str, tuple[Guard, ...]] = {
    "Whose code is run": CODE,
    "Files from others": FILES,
    "Names from others, in files and shells": NAMES,
    "Names from others, on screens": SHOWN,
    "Secrets": SECRETS,
    "Who is let in": ACCESS,
}
"""By the part of docs/security.md."""
