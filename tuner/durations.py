"""Durations for people: one that was measured, and one that is only expected."""


def duration(seconds: float) -> str:
    """What was measured, in two units at most: `8 s`, `12 min 5 s`, `3 h 20 min`, `2 d 4 h`."""
    whole = round(seconds)
    for unit, below, length in (("d", "h", 86400), ("h", "min", 3600), ("min", "s", 60)):
        if whole >= length:
            rest = whole % length // {"h": 3600, "min": 60, "s": 1}[below]
            return f"{whole // length} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s" if seconds >= 1 or not seconds else f"{seconds:.1g} s"


def about(seconds: float) -> str:
    """What is expected, in two digits: `40 s`, `12 minutes`, `3.5 hours`, `4 days`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.2g} hours" if seconds < 72 * 3600 else f"{seconds / 86400:.2g} days"


def time_unit(longest: float) -> tuple[float, str]:
    """The unit that an axis up to `longest` seconds is read in: its seconds and its name."""
    for least, seconds, name in ((5 * 86400, 86400, "days"), (3 * 3600, 3600, "h"), (300, 60, "min")):
        if longest >= least:
            return seconds, name
    return 1, "s"
