"""Reference answers written in other ways that mean the same, and changed so that they mean something else."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

Rewrite = Callable[[str], str | None]
"""Another way to write an answer; None where it cannot be written so."""

_WHOLE = re.compile(r"-?\d+$")
_WHOLE_WITH_COMMAS = re.compile(r"-?\d{1,3}(?:,(?:\\!)?\d{3})+$")
_DECIMAL = re.compile(r"-?\d*\.\d+$")
_FRACTION = re.compile(r"(-?)\\[dt]?frac\{(\d+)\}\{(\d+)\}$")
_LIST = re.compile(r"[^()\[\]{}\\=]+(?:,[^()\[\]{}\\=]+)+$")


def content_of(answer: str) -> str:
    """A short solution that ends in the answer."""
    return f"We work it out. The result is $\\boxed{{{answer}}}$."


def trailing_dot(gold: str) -> str | None:
    return content_of(gold + ".")


def bold(gold: str) -> str | None:
    return f"We work it out.\n\n**{gold}**" if "*" not in gold else None


def bold_dollars(gold: str) -> str | None:
    return f"So the answer is **${gold}$**." if "$" not in gold and "*" not in gold else None


def dollars_in_the_box(gold: str) -> str | None:
    return content_of(f"${gold}$") if "$" not in gold else None


def answer_phrase(gold: str) -> str | None:
    return f"Therefore, the answer is ${gold}$." if "$" not in gold and "text" not in gold else None


def thin_spaces(gold: str) -> str | None:
    return content_of("\\, " + gold + "\\;")


def spaced_operators(gold: str) -> str | None:
    spaced = re.sub(r"(?<=[\w})])\s*([+=])\s*(?=[\w\\({])", r" \1 ", gold)
    return content_of(spaced) if spaced != gold else None


def no_blanks(gold: str) -> str | None:
    if "text" in gold or "mbox" in gold or re.search(r"\\[A-Za-z]+ [A-Za-z]|\\ |\d \d", gold):
        return None
    return content_of(gold.replace(" ", "")) if " " in gold else None


def scientific(gold: str) -> str | None:
    if not _WHOLE.match(gold) or abs(int(gold)) < 10_000:
        return None
    sign, digits = ("-", gold[1:]) if gold[0] == "-" else ("", gold)
    rest = digits[1:].rstrip("0")
    return content_of(f"{sign}{digits[0]}{'.' + rest if rest else ''} \\times 10^{{{len(digits) - 1}}}")


def thousands_commas(gold: str) -> str | None:
    return content_of(f"{int(gold):,}") if _WHOLE.match(gold) and abs(int(gold)) >= 1000 else None


def braced_commas(gold: str) -> str | None:
    written = thousands_commas(gold)
    return None if written is None else written.replace(",", "{,}")


def spaced_commas(gold: str) -> str | None:
    plain = gold.replace("\\!", "")
    if _WHOLE_WITH_COMMAS.match(gold):
        return content_of(plain.replace(",", ", "))
    written = thousands_commas(gold)
    return None if written is None else written.replace(",", ", ")


def no_commas(gold: str) -> str | None:
    return content_of(gold.replace(",", "").replace("\\!", "")) if _WHOLE_WITH_COMMAS.match(gold) else None


def reversed_list(gold: str) -> str | None:
    if not _LIST.match(gold) or _WHOLE_WITH_COMMAS.match(gold):
        return None
    return content_of(", ".join(part.strip() for part in reversed(gold.split(","))))


def percent_dropped(gold: str) -> str | None:
    return content_of(gold.replace("\\%", "")) if "%" in gold and "=" not in gold else None


def percent_sign(gold: str) -> str | None:
    return content_of(gold.replace("\\%", "%")) if "\\%" in gold else None


def named_value(gold: str) -> str | None:
    return content_of(f"x={gold}") if not re.search(r"[x=,<>:]|in|le|ge|text|mbox|[A-Z]{2}", gold) else None


def point_zero(gold: str) -> str | None:
    return content_of(gold + ".0") if _WHOLE.match(gold) else None


def trailing_zero(gold: str) -> str | None:
    return content_of(gold + "0") if _DECIMAL.match(gold) else None


def display_fractions(gold: str) -> str | None:
    return content_of(re.sub(r"\\[dt]?frac", r"\\dfrac", gold)) if "frac" in gold else None


def slash(gold: str) -> str | None:
    found = _FRACTION.match(gold)
    return content_of(f"{found[1]}{found[2]}/{found[3]}") if found else None


def decimal(gold: str) -> str | None:
    found = _FRACTION.match(gold)
    if found is None:
        return None
    value = Fraction(int(found[2]), int(found[3]))
    for places in range(1, 7):
        if (value * 10**places).denominator == 1:
            return content_of(f"{found[1]}{float(value):.{places}f}")
    return None


def unit(gold: str) -> str | None:
    return content_of(gold + "\\text{ cm}") if _WHOLE.match(gold) else None


def left_right(gold: str) -> str | None:
    if not re.match(r"[(\[].*[)\]]$", gold) or "\\left" in gold:
        return None
    changed = re.sub(r"(?<!\\)([(\[])", r"\\left\1", gold)
    return content_of(re.sub(r"(?<!\\)([)\]])", r"\\right\1", changed))


SAME: dict[str, Rewrite] = {
    rewrite.__name__: rewrite
    for rewrite in (
        content_of,
        trailing_dot,
        bold,
        bold_dollars,
        dollars_in_the_box,
        answer_phrase,
        thin_spaces,
        spaced_operators,
        no_blanks,
        scientific,
        thousands_commas,
        braced_commas,
        spaced_commas,
        no_commas,
        reversed_list,
        percent_dropped,
        percent_sign,
        named_value,
        point_zero,
        trailing_zero,
        display_fractions,
        slash,
        decimal,
        unit,
        left_right,
    )
}
"""Rewrites by name that leave an answer the same."""


def changed_digit(gold: str) -> str | None:
    """The first digit outside of what units and layout carry, raised by one."""
    found = re.search(r"\d", gold)
    if found is None:
        return None
    digit = str((int(found[0]) + 1) % 10)
    return content_of(gold[: found.start()] + digit + gold[found.end() :])


def changed_last_digit(gold: str) -> str | None:
    found = None
    for found in re.finditer(r"\d", gold):  # noqa: B007 - the last match is wanted
        pass
    if found is None or "^2}" in gold[found.start() - 1 :] or "mbox" in gold or "text" in gold:
        return None
    digit = str((int(found[0]) + 1) % 10)
    return content_of(gold[: found.start()] + digit + gold[found.end() :])


def changed_sign(gold: str) -> str | None:
    """The sign of the whole answer, where it is one value that is not zero."""
    if not re.match(r"-?(?:\d|\\[dt]?frac|\\sqrt|\\pi|[a-z](?![a-z]))", gold) or re.fullmatch(
        r"-?0+(?:\.0+)?", gold
    ):
        return None
    if re.search(r"[,=<>:]|\\le|\\ge|\\pm|\\text|\\mbox|_|\$", gold):
        return None
    return content_of(gold[1:] if gold[0] == "-" else "-" + gold)


CHANGED: dict[str, Rewrite] = {
    rewrite.__name__: rewrite for rewrite in (changed_digit, changed_last_digit, changed_sign)
}
"""Rewrites by name that make an answer wrong."""


@dataclass(frozen=True)
class Case:
    """A reference, a text that answers it, and how the text was made."""

    kind: str
    gold: str
    content: str


def cases(golds: list[str], rewrites: dict[str, Rewrite]) -> Iterator[Case]:
    """Each reference in each way that it can be written."""
    for kind, rewrite in rewrites.items():
        for gold in golds:
            content = rewrite(gold)
            if content is not None:
                yield Case(kind, gold, content)


def shuffled_pairs(golds: list[str], steps: tuple[int, ...]) -> Iterator[Case]:
    """Each reference answered with another one of the list; those that may be equal are for the reader to sort out."""
    for step in steps:
        for index, gold in enumerate(golds):
            other = golds[(index + step) % len(golds)]
            if other != gold:
                yield Case(f"shuffled_{step}", gold, content_of(other))


def math_answers(folder: Path) -> list[str]:
    """The reference answers of MATH-500 and of the MATH training set, without the rows that have none."""
    with (folder / "math500.jsonl").open(encoding="utf-8") as file:
        answers = [json.loads(line)["answer"] for line in file]
    with gzip.open(folder / "math_train.json.gz", "rt", encoding="utf-8") as file:
        answers += [row["answer"] for row in json.load(file)]
    return [answer for answer in answers if answer]
