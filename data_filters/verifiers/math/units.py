"""Units of measure: which words are units, and how those of one dimension stand to each other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_SCALES: dict[str, dict[str, str]] = {
    "length": {
        "mm millimeter millimetre": "1/1000",
        "cm centimeter centimetre": "1/100",
        "m meter metre": "1",
        "km kilometer kilometre": "1000",
        "in inch inche": "127/5000",
        "ft foot feet": "381/1250",
        "yd yard": "1143/1250",
        "mi mile": "201168/125",
    },
    "mass": {"mg milligram": "1/1000", "g gram": "1", "kg kilogram": "1000", "lb pound": "45359237/100000"},
    "weight": {"oz ounce": "1"},
    "volume": {"ml milliliter millilitre": "1/1000", "l liter litre": "1"},
    "us volume": {"cup": "1", "pint": "2", "quart": "4", "gallon gal": "16"},
    "time": {
        "s sec second": "1",
        "min minute": "60",
        "h hr hour": "3600",
        "day": "86400",
        "week": "604800",
    },
    "calendar": {"month": "1", "year": "12"},
    "money": {"$ dollar usd": "1", "\u00a2 cent penny pennie": "1/100"},
    "euro": {"\u20ac euro": "1"},
    "sterling": {"\u00a3": "1"},
    "angle": {"\u00b0 degree deg": "1"},
    "radian": {"radian rad": "1"},
    "speed": {"mph": "1397/3125", "kmh kph": "5/18"},
    "acre": {"acre": "1"},
}
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_EXPONENT = re.compile(r"\s*(?:\^\s*\{?\s*([23])\s*\}?)$")
_PARTS = re.compile(r"\s+per\s+|\s*/\s*")
SYMBOLS = frozenset(["m", "g", "s", "h", "l"])
"""Units of one letter: anywhere but behind a blank they are variables."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What a unit measures, and its size beside the other units that measure the same."""

    dimension: str
    size: Fraction


_UNITS = {
    word: Unit(dimension, Fraction(size))
    for dimension, sizes in _SCALES.items()
    for words, size in sizes.items()
    for word in words.split()
}


def read_unit(text: str) -> Unit | None:
    """The unit that words such as `square feet` or `miles per hour` name; None for any other words."""
    over, *under = _PARTS.split(text.strip(" ."), maxsplit=1)
    unit = _power_of_unit(over)
    if unit is None or not under:
        return unit
    divisor = _power_of_unit(under[0])
    if divisor is None:
        return None
    # A length over a time is a speed, whose short names have a dimension of their own.
    dimension = f"{unit.dimension}/{divisor.dimension}"
    return Unit("speed" if dimension == "length/time" else dimension, unit.size / divisor.size)


def _power_of_unit(text: str) -> Unit | None:
    words = text.replace(".", " ").split()
    exponent = 1
    if words and words[0].lower() in _POWERS:
        exponent = _POWERS[words.pop(0).lower()]
    elif found := _EXPONENT.search(text):
        exponent = int(found[1])
        words = text[: found.start()].replace(".", " ").split()
    if len(words) != 1:
        return None
    unit = _UNITS.get(words[0]) or _UNITS.get(words[0].lower().removesuffix("s"))
    if unit is None:
        return None
    return unit if exponent == 1 else Unit(f"{unit.dimension}^{exponent}", unit.size**exponent)
