"""How numbers are written in the report. What is None is written as a dash, never as zero."""

from __future__ import annotations

from datetime import datetime

NARROW_SPACE = "\u202f"
"""A narrow space that does not break: between a number and its unit."""
DASH = "\u2013"
NOTHING = "\u2014"
"""Stands where there is no value."""


def count(value: int | None) -> str:
    """Return a whole number with commas at the thousands: 61,440."""
    return NOTHING if value is None else f"{value:,}"


def compact(value: float | None) -> str:
    """Return three digits with k, M, G or T, such as 135 M; up to ten thousand the number stands in full."""
    if value is None:
        return NOTHING
    if abs(value) < 10_000:
        return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3g}"
    for unit in ("k", "M", "G"):
        value /= 1000
        if abs(value) < 999.5:
            return f"{value:.3g}{NARROW_SPACE}{unit}"
    return f"{value / 1000:,.3g}{NARROW_SPACE}T"


def decimal(value: float | None, places: int = 1) -> str:
    """Return a number with a fixed number of decimals."""
    return NOTHING if value is None else f"{value:,.{places}f}"


def significant(value: float | None, digits: int = 3) -> str:
    """Return a number with that many significant digits; very small ones as 2e-4."""
    if value is None:
        return NOTHING
    if value == 0 or 1e-3 <= abs(value) < 10.0**digits:
        return f"{value:.{digits}g}"
    if 1e-3 <= abs(value) < 1e6:
        return f"{value:,.0f}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}e{int(exponent)}"


def percent(share: float | None, places: int = 1) -> str:
    """Return a share between 0 and 1 as percent, such as 90.8 %.

    Rounding turns neither nearly all into all nor some into none.
    """
    if share is None:
        return NOTHING
    return f"{_honest_percent(share, places)}{NARROW_SPACE}%"


def percent_range(low: float, high: float, places: int = 1) -> str:
    """Return two shares as one range in percent, without the sign."""
    return f"{100 * low:.{places}f}{DASH}{100 * high:.{places}f}"


def part_of(part: int | None, whole: int | None) -> float | None:
    """Return part / whole; None when either is unknown or the whole is 0: there is no share of nothing."""
    if part is None or not whole:
        return None
    return part / whole


def duration(seconds: float | None) -> str:
    """Return a time in its two largest units: 0.8 s, 48 s, 4 min 17 s, 3 h 05 min, 2 d 4 h."""
    if seconds is None:
        return NOTHING
    if seconds < 9.95:
        return f"{seconds:.1f}{NARROW_SPACE}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NARROW_SPACE}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}{NARROW_SPACE}min {rest:02}{NARROW_SPACE}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}{NARROW_SPACE}h {minutes:02}{NARROW_SPACE}min"
    days, hours = divmod(hours, 24)
    return f"{days}{NARROW_SPACE}d {hours}{NARROW_SPACE}h"


def brief(seconds: float | None) -> str:
    """Return a short time in the unit that suits it: 14 µs, 2.3 ms, 1.2 s."""
    if seconds is None:
        return NOTHING
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms")):
        if seconds < limit:
            value = seconds * factor
            return f"{value:.{1 if value < 10 else 0}f} {unit}"
    return f"{seconds:.1f} s"


def size(number_of_bytes: int) -> str:
    """Return bytes in decimal units: 270 MB."""
    if number_of_bytes < 1000:
        return f"{number_of_bytes}{NARROW_SPACE}B"
    value = float(number_of_bytes)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.5:
            return f"{value:.3g}{NARROW_SPACE}{unit}"
    return f"{value / 1000:,.3g}{NARROW_SPACE}TB"


def moment(when: datetime) -> str:
    """Return a date and time to the minute, in the time zone in which it was written."""
    zone = f" {when.tzname()}" if when.tzinfo else ""
    return f"{when.day} {when:%B %Y, %H:%M}{zone}"


def _honest_percent(share: float, places: int) -> str:
    """Write 100 or 0 only where it is exactly so: a fill of 0.99996 is 99.9 and more, not 100.0."""
    smallest = 10.0**-places
    rounded = round(100 * share, places)
    if share < 1 and rounded >= 100:
        return f"{100 - smallest:.{places}f}"
    if share > 0 and rounded <= 0:
        return f"<{NARROW_SPACE}{smallest:.{places}f}"
    return f"{rounded:.{places}f}"
