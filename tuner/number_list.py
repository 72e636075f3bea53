"""Lists of whole numbers as they are typed: `1,2,4`."""

from tuner.errors import SweepConfigError


def whole_numbers(text: str, *, option: str) -> list[int]:
    """Each once, ascending. Raises SweepConfigError that names the `option`, such as `--devices`."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) for part in parts):
        raise SweepConfigError(f"{option}: must be whole numbers above 0 with commas between, got {text!r}")
    return sorted({int(part) for part in parts})
