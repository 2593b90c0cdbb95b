"""Formulas as people write them, read as trees.

What can be understood in two ways, such as `1/2x` or `\\sqrt12`, is not read at all: another comparator decides it.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from data_filters.verifiers.math.expression_tokens import END, FUNCTIONS, Token, UnreadableError, read_tokens
from data_filters.verifiers.math.expressions import (
    Call,
    Expression,
    Name,
    Number,
    Power,
    Product,
    Quotient,
    Sum,
)

MAX_DEPTH = 40
MAX_DIGITS = 1000

_GREEK = frozenset(
    (
        *(
            "alpha",
            "beta",
            "gamma",
            "delta",
            "epsilon",
            "varepsilon",
            "zeta",
            "eta",
            "theta",
            "vartheta",
            "iota",
        ),
        *(
            "kappa",
            "lambda",
            "mu",
            "nu",
            "xi",
            "rho",
            "sigma",
            "tau",
            "upsilon",
            "phi",
            "varphi",
            "chi",
            "psi",
        ),
        *(
            "omega",
            "Gamma",
            "Delta",
            "Theta",
            "Lambda",
            "Xi",
            "Sigma",
            "Phi",
            "Psi",
            "Omega",
            "pi",
            "infty",
            "ell",
        ),
    )
)
_INVERSES = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_ROUNDED = {"\\lfloor": ("floor", "\\rfloor"), "\\lceil": ("ceiling", "\\rceil")}
_FUNCTION_LETTERS = "fgh"


def read_expression(text: str) -> Expression:
    """The tree of a normalised formula. Raises UnreadableError for anything else, and for what is too large."""
    return _Reader(read_tokens(text)).read()


class _Reader:
    """Recursive descent; each method reads what its name says and steps behind it."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._position = 0
        self._open_bars = 0
        self._depth = 0

    def read(self) -> Expression:
        if not self._tokens:
            raise UnreadableError("an empty text")
        value = self._sum()
        if self._next() != END:
            raise UnreadableError(f"a surplus {self._next()[1]!r}")
        return value

    def _next(self) -> Token:
        return self._tokens[self._position] if self._position < len(self._tokens) else END

    def _step(self) -> Token:
        token = self._next()
        self._position += 1
        return token

    def _take(self, sign: str) -> bool:
        if self._next()[1] == sign:
            self._position += 1
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise UnreadableError(f"no {sign!r}")

    def _sum(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise UnreadableError(f"nested deeper than {MAX_DEPTH}")
        terms = [self._signed_product()]
        while self._next()[1] in ("+", "-"):
            terms.append(self._signed_product())
        self._depth -= 1
        return terms[0] if len(terms) == 1 else Sum(tuple(terms))

    def _signed_product(self) -> Expression:
        negative = False
        while self._next()[1] in ("+", "-"):
            negative ^= self._step()[1] == "-"
        value = self._product()
        return _negated(value) if negative else value

    def _product(self) -> Expression:
        value = self._power()
        factors = [value]
        after_slash = False
        while True:
            if self._take("*"):
                factors.append(self._signed_power())
                after_slash = False
            elif self._take("/"):
                if after_slash:
                    raise UnreadableError("two slashes in a row")
                bottom = self._signed_power()
                factors = [Quotient(_product(factors), bottom)]
                after_slash = True
            elif self._starts_factor():
                if after_slash:
                    raise UnreadableError("a factor behind a slash without brackets")
                factors.append(self._power())
                self._join_mixed_number(factors)
            else:
                return _product(factors)

    def _join_mixed_number(self, factors: list[Expression]) -> None:
        """Read 2\\frac{1}{2} as a mixed number."""
        if len(factors) != 2 or not isinstance(factors[0], Number) or not isinstance(factors[1], Quotient):
            return
        whole, (top, bottom) = factors[0].value, (factors[1].top, factors[1].bottom)
        if (
            isinstance(top, Number)
            and isinstance(bottom, Number)
            and whole.denominator == top.value.denominator == bottom.value.denominator == 1
        ):
            if not 0 < top.value < bottom.value:
                raise UnreadableError("a number before an improper fraction")
            factors[:] = [Number(whole + top.value / bottom.value)]

    def _starts_factor(self) -> bool:
        kind, text = self._next()
        if kind in ("letter", "command"):
            return text not in ("\\rfloor", "\\rceil")
        return text in ("(", "[", "{") or (text == "|" and not self._open_bars)

    def _signed_power(self) -> Expression:
        if self._take("-"):
            return _negated(self._signed_power())
        self._take("+")
        return self._power()

    def _power(self) -> Expression:
        base = self._postfixed(self._operand())
        if not self._take("^"):
            return base
        return self._postfixed(Power(base, self._exponent()))

    def _exponent(self) -> Expression:
        """What stands behind `^`; powers of powers are read from the right."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise UnreadableError("powers stacked too high")
        exponent = _negated(self._operand()) if self._take("-") else self._operand()
        if self._take("^"):
            exponent = Power(exponent, self._exponent())
        self._depth -= 1
        return exponent

    def _postfixed(self, value: Expression) -> Expression:
        while True:
            if self._take("!"):
                value = Call("factorial", (value,))
            elif self._take("%"):
                value = Quotient(value, Number(Fraction(100)))
            elif self._take("\u00b0"):
                value = Call("degrees", (value,))
            else:
                return value

    def _operand(self) -> Expression:
        kind, text = self._step()
        if kind == "number":
            return self._number(text)
        if kind == "letter":
            return self._name(text)
        if kind == "command":
            return self._command(text)
        if text in _BRACKETS:
            value = self._sum()
            self._expect(_BRACKETS[text])
            return value
        if text == "|":
            self._open_bars += 1
            value = self._sum()
            self._open_bars -= 1
            self._expect("|")
            return Call("abs", (value,))
        raise UnreadableError(f"an operand instead of {text!r}")

    def _number(self, text: str) -> Expression:
        if len(text) > MAX_DIGITS:
            raise UnreadableError(f"a number of more than {MAX_DIGITS} digits")
        if self._next()[1] == "\\overline" and "." in text:
            return self._repeating_decimal(text)
        if self._next()[1] == "_":
            raise UnreadableError("a number with a subscript")
        if self._next()[0] == "number":
            raise UnreadableError("two numbers in a row")
        return Number(Fraction(text.rstrip(".")) if text != "." else Fraction(0))

    def _repeating_decimal(self, text: str) -> Expression:
        self._step()
        self._expect("{")
        kind, period = self._step()
        self._expect("}")
        if kind != "number" or not period.isdigit() or len(period) > MAX_DIGITS:
            raise UnreadableError("an overline above anything but digits")
        places = len(text.partition(".")[2])
        repeated = Fraction(int(period), (10 ** len(period) - 1) * 10**places)
        return Number(Fraction(text.rstrip(".") or "0") + repeated)

    def _name(self, letter: str) -> Expression:
        if self._take("_"):
            return Name(f"{letter}_{self._subscript()}")
        if letter in _FUNCTION_LETTERS and self._next()[1] == "(":
            raise UnreadableError(f"the function {letter}")
        return Name(letter)

    def _subscript(self) -> str:
        if not self._take("{"):
            return self._step()[1]
        parts = []
        while not self._take("}"):
            if self._next() == END:
                raise UnreadableError("a subscript without an end")
            parts.append(self._step()[1])
        return "".join(parts)

    def _command(self, command: str) -> Expression:
        name = command[1:]
        if name in _GREEK:
            return self._name(name)
        if name in FUNCTIONS:
            return self._call(name)
        if command in _ROUNDED:
            function, closing = _ROUNDED[command]
            value = self._sum()
            self._expect(closing)
            return Call(function, (value,))
        readers: dict[str, Callable[[], Expression]] = {
            "frac": self._fraction,
            "binom": self._binomial,
            "sqrt": self._root,
        }
        if name not in readers:
            raise UnreadableError(f"the command {command}")
        return readers[name]()

    def _fraction(self) -> Expression:
        top = self._argument()
        return Quotient(top, self._argument())

    def _binomial(self) -> Expression:
        top = self._argument()
        return Call("binomial", (top, self._argument()))

    def _root(self) -> Expression:
        degree: Expression = Number(Fraction(2))
        if self._take("["):
            degree = self._sum()
            self._expect("]")
        if self._next()[0] == "number" and len(self._next()[1]) > 1:
            raise UnreadableError("a root of several digits without braces")
        return Power(self._argument(), Quotient(Number(Fraction(1)), degree))

    def _argument(self) -> Expression:
        """What a command takes: a group, or one digit, letter or command."""
        kind, text = self._next()
        if kind == "number" and text.isdigit() and len(text) > 1:
            self._tokens[self._position] = ("number", text[1:])
            return Number(Fraction(int(text[0])))
        if text not in ("(", "{") and kind not in ("number", "letter", "command"):
            raise UnreadableError("a command without its argument")
        return self._operand()

    def _call(self, name: str) -> Expression:
        base: tuple[Expression, ...] = ()
        if name == "log" and self._take("_"):
            base = (self._argument(),)
        exponent = self._exponent() if self._take("^") else None
        if exponent == Number(Fraction(-1)) or exponent == _negated(Number(Fraction(1))):
            name, exponent = _INVERSES.get(name, ""), None
            if not name:
                raise UnreadableError("the power -1 of a function")
        call = Call("ln" if name == "log" and base == (Name("e"),) else name, self._arguments() + base)
        if self._next()[1] == "^":
            raise UnreadableError("a power behind a function's argument")
        return call if exponent is None else Power(call, exponent)

    def _arguments(self) -> tuple[Expression, ...]:
        if self._next()[1] in ("(", "{", "|", "["):
            return (self._operand(),)
        factors = [self._power()]
        while self._starts_factor() and self._next()[1] not in ("(", "[", "{") and not self._at_function():
            factors.append(self._power())
        return (_product(factors),)

    def _at_function(self) -> bool:
        kind, text = self._next()
        return kind == "command" and text[1:] in FUNCTIONS


def _negated(value: Expression) -> Expression:
    return Number(-value.value) if isinstance(value, Number) else Product((Number(Fraction(-1)), value))


def _product(factors: list[Expression]) -> Expression:
    return factors[0] if len(factors) == 1 else Product(tuple(factors))
