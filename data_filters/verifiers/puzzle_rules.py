"""What reasoning-gym's scorers leave open: which answers they may not be shown, and what full marks must also mean.

Some scorers evaluate the answer as Python or with sympy, which evaluates too: what is not plain arithmetic or a plain
list is kept from them. Others give full marks to a rounded number, to any text with the right word in it, or to a
right result from the wrong numbers: for those a rule of our own decides as well.
"""

from __future__ import annotations

import ast
import operator
import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

Entry = dict[str, Any]

_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?|[-+]?\.\d+")
_LATEX_COMMAND = re.compile(r"\\[A-Za-z]+")
_WORD = re.compile(r"\w+")
_LETTER = re.compile(r"[^\W\d_]")
_NO_CALL = re.compile(r"[^()@:;=\\]*")
"""Python that calls, defines and assigns nothing."""
_BITS = re.compile(r"[0-9a-fA-Fxob\s()+\-*/%<>&|^~]*")
_FORMULA_TOKEN = re.compile(r"\s*(?:\d+\.?\d*|\.\d+|([A-Za-z]+)|\*\*|[-+*/^(),])")
_FORMULA_NAMES = frozenset({
    "sin", "cos", "tan", "sec", "csc", "cot", "asin", "acos", "atan", "sinh", "cosh", "tanh", "exp",
    "log", "ln", "sqrt", "Abs", "pi",
})  # fmt: skip
_SMALLEST_ROUNDING = 4
"""Decimals from which a rounded probability counts as the exact one."""
_POOLING_TOLERANCE = Decimal("0.0051")


def decide(dataset: str, answer: str, entry: Entry) -> bool | None:
    """Whether an answer is right, for the few data sets that need no scorer; None leaves it to the scorer.

    Raises KeyError or TypeError for an entry that lacks what the rule reads.
    """
    rule = _DECIDED_HERE.get(dataset)
    return None if rule is None else rule(answer, entry)


def hidden_from_scorer(dataset: str, answer: str, entry: Entry) -> str | None:
    """Why an answer or entry is not given to a scorer that would evaluate it; None when it is harmless."""
    is_harmless = _EVALUATED.get(dataset)
    if is_harmless is None:
        return None
    for text in (answer, *_evaluated_parts(entry)):
        if not is_harmless(text):
            return f"the scorer of {dataset} would evaluate {text[:80]!r}"
    return None


def breaks_rule(dataset: str, answer: str, entry: Entry) -> str | None:
    """What is wrong with an answer that the scorer gives full marks; None when nothing is."""
    rule = _RULES.get(dataset)
    if rule is None or rule(answer, entry):
        return None
    return f"the scorer of {dataset} takes it, but it is not {str(entry.get('answer'))[:80]!r}"


def _evaluated_parts(entry: Entry) -> list[str]:
    """The texts of an entry that scorers evaluate beside the answer."""
    metadata = entry.get("metadata")
    parts = [entry.get("answer")]
    if isinstance(metadata, dict):
        parts += [metadata.get("integrand"), metadata.get("problem")]
    return [part for part in parts if isinstance(part, str)]


def _calls_nothing(text: str) -> bool:
    return _NO_CALL.fullmatch(text) is not None and "__" not in text


def _is_formula(text: str) -> bool:
    """Whether a text is arithmetic over numbers, one-letter variables and well-known functions."""
    position = 0
    while position < len(text.rstrip()):
        token = _FORMULA_TOKEN.match(text, position)
        if token is None or (token[1] and len(token[1]) > 1 and token[1] not in _FORMULA_NAMES):
            return False
        position = token.end()
    return True


def _is_bit_arithmetic(text: str) -> bool:
    return _BITS.fullmatch(text) is not None and "**" not in text


def _same_text(answer: str, entry: Entry) -> bool:
    return _squeezed(answer) == _squeezed(entry["answer"])


def _squeezed(text: str) -> str:
    return "".join(text.split()).lower()


def _same_words(answer: str, entry: Entry) -> bool:
    """Whether both say the same words in any order, articles and `and` aside."""
    return _counted_words(answer) == _counted_words(entry["answer"])


def _counted_words(text: str) -> Counter[str]:
    return Counter(word for word in _WORD.findall(text.lower()) if word not in ("a", "an", "and"))


def _same_numbers(answer: str, entry: Entry) -> bool:
    """Whether both hold the same numbers in the same order, and the answer no other words."""
    without_commands = _LATEX_COMMAND.sub(" ", answer)
    wordless = _LETTER.search(_NUMBER.sub(" ", without_commands)) is None
    return wordless and _numbers(without_commands) == _numbers(_LATEX_COMMAND.sub(" ", entry["answer"]))


def _numbers(text: str) -> list[Decimal]:
    return [Decimal(number.replace(",", "")) for number in _NUMBER.findall(text)]


def _same_pooled_numbers(answer: str, entry: Entry) -> bool:
    """Whether the numbers are those of the reference up to its rounding to two decimals."""
    given, expected = _numbers(answer), _numbers(entry["answer"])
    return len(given) == len(expected) and all(
        abs(first - second) <= _POOLING_TOLERANCE for first, second in zip(given, expected, strict=True)
    )


def _same_probability(answer: str, entry: Entry) -> bool:
    """Whether a fraction is exact, or a decimal the rounding of it to at least four places."""
    text = answer.replace(",", "").strip()
    given, expected = Fraction(text), Fraction(entry["answer"])
    decimals = len(text.partition(".")[2])
    return given == expected or (
        decimals >= _SMALLEST_ROUNDING and abs(given - expected) <= Fraction(1, 2 * 10**decimals)
    )


def _only(pattern: str) -> Callable[[str, Entry], bool]:
    """The rule that an answer consists of what `pattern` describes."""
    compiled = re.compile(pattern)
    return lambda answer, entry: compiled.fullmatch(answer.strip()) is not None


def _same_interval(answer: str, entry: Entry) -> bool:
    """Whether a time is given to the letter, or a number of days with or without its unit."""
    days = re.fullmatch(r"(\d+) days?", entry["answer"])
    if days is None:
        return _same_text(answer, entry)
    return re.fullmatch(rf"0*{days[1]}(?:\s*days?)?", answer.strip(" .")) is not None


def _makes_24(answer: str, entry: Entry) -> bool:
    found = evaluate(answer)
    return found is not None and found.value == 24 and found.numbers == Counter(entry["metadata"]["numbers"])


def _makes_target(answer: str, entry: Entry) -> bool:
    found = evaluate(answer)
    metadata = entry["metadata"]
    return (
        found is not None
        and found.value == metadata["target"]
        and found.numbers == Counter(metadata["numbers"])
    )


class Evaluated:
    """The exact value of plain arithmetic and the whole numbers that it uses."""

    def __init__(self, value: Fraction, numbers: Counter[int]) -> None:
        self.value = value
        self.numbers = numbers


_OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def evaluate(text: str) -> Evaluated | None:
    """Work out `+ - * /` and brackets over whole numbers, exactly; None for anything else."""
    numbers: Counter[int] = Counter()

    def value(node: ast.expr) -> Fraction:
        match node:
            case ast.Constant(value=int(number)) if not isinstance(number, bool):
                numbers[number] += 1
                return Fraction(number)
            case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
                return _OPERATORS[type(sign)](value(left), value(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -value(operand)
        raise ValueError("not plain arithmetic")

    try:
        return Evaluated(value(ast.parse(text.strip(), mode="eval").body), numbers)
    except (ValueError, SyntaxError, ZeroDivisionError, RecursionError, MemoryError):
        return None


_EVALUATED: dict[str, Callable[[str], bool]] = {
    "string_insertion": _calls_nothing,
    "spiral_matrix": _calls_nothing,
    "binary_matrix": _calls_nothing,
    "n_queens": _calls_nothing,
    "number_sorting": _calls_nothing,
    "simple_integration": _is_formula,
    "intermediate_integration": _is_formula,
    "polynomial_multiplication": _is_formula,
    "bitwise_arithmetic": _is_bit_arithmetic,
}
_DECIDED_HERE: dict[str, Callable[[str, Entry], bool]] = {"countdown": _makes_target, "puzzle24": _makes_24}
"""Arithmetic games, whose scorers hand the answer to sympy and then look at less than the rules of the game."""
_RULES: dict[str, Callable[[str, Entry], bool]] = {
    "coin_flip": _same_probability,
    "decimal_arithmetic": _same_numbers,
    "fraction_simplification": _same_numbers,
    "game_of_life_halting": _same_text,
    "gsm_symbolic": _same_numbers,
    "kakurasu": _only(r"[01\s]+"),
    "knights_knaves": _same_words,
    "manipulate_matrix": _same_numbers,
    "modulo_grid": _same_text,
    "number_format": _same_numbers,
    "number_sorting": _same_numbers,
    "pool_matrix": _same_pooled_numbers,
    "quantum_lock": _only(r"[A-Ca-c](?:\s*(?:→|->|,)?\s*[A-Ca-c])*"),
    "rotate_matrix": _same_numbers,
    "sokoban": _only(r"[UDLRudlr]+"),
    "spell_backward": _same_text,
    "survo": _same_numbers,
    "time_intervals": _same_interval,
}
