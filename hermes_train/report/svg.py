"""SVG elements as text, and scales from values to places on the paper. Pure: numbers in, text out."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def element(name: str, *children: str, **attributes: str | float) -> str:
    """Return one element. Children are SVG already; attributes are escaped.

    In attribute names `_` stands for `-` and a last `_` is dropped, so `class_` gives class.
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}={quoteattr(_attribute(value))}"
        for key, value in attributes.items()
    )
    if not children:
        return f"<{name}{written}/>"
    return f"<{name}{written}>{''.join(children)}</{name}>"


def text(content: str, **attributes: str | float) -> str:
    """Return a text element; its content is escaped."""
    return element("text", escape(_printable(content)), **attributes)


def title(content: str) -> str:
    """Return the title of an element: what a screen reader says and a pointer shows."""
    return element("title", escape(_printable(content)))


def drawing(width: float, height: float, label: str, *children: str, stretched: bool = False) -> str:
    """Return a whole drawing. `stretched` fills its place in both directions, for bars without text."""
    options = {"preserveAspectRatio": "none"} if stretched else {}
    return element(
        "svg",
        title(label),
        *children,
        viewBox=f"0 0 {_attribute(width)} {_attribute(height)}",
        role="img",
        aria_label=label,
        class_="bar" if stretched else "chart",
        **options,
    )


@dataclass(frozen=True)
class Scale:
    """A straight line from values to places: `low` lies at `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the place of `value`; a scale of one single value puts it in the middle."""
        if self.high == self.low:
            return (self.start + self.end) / 2
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Return round values, in steps of 1, 2 or 5 times a power of ten, that enclose low and high.

    Raises ValueError unless low and high are finite and in order.
    """
    if not (math.isfinite(low) and math.isfinite(high)) or low > high:
        raise ValueError(f"ticks need finite low <= high, got {low} and {high}")
    if low == high:
        margin = abs(low) * 0.5 or 1.0
        low, high = low - margin, high + margin
    step = _round_step((high - low) / about)
    first, last = math.floor(low / step), math.ceil(high / step)
    # Rounding to 12 digits takes away the dust of the multiplication (0.30000000000000004).
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def polyline(points: Sequence[tuple[float, float]], **attributes: str | float) -> str:
    """Return a line through the points."""
    places = " ".join(f"{_attribute(x)},{_attribute(y)}" for x, y in points)
    return element("polyline", points=places, **attributes)


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)


def _attribute(value: str | float) -> str:
    if isinstance(value, str):
        return _printable(value)
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def _printable(content: str) -> str:
    """Replace what XML cannot hold, such as a control character in a model's text."""
    return _NOT_XML.sub("\ufffd", content)
