"""Tests that only compare calls on written-out values with written-out results.

    assert candidate([1, 2], 3) == [4, 5], "adds"      # one such call
    assert not is_prime(4)                             # another: its result is to be False

Most published tests are of this kind. Such a call needs no test program: the arguments go to the candidate's process
as data, and a result that is the very value that is written there makes the assertion true. A result that is any other
value may still equal it in Python's sense (1 == 1.0 == True), which only the test program itself can say.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from data_filters.samples import ENTRY_POINT


@dataclass(frozen=True)
class LiteralCall:
    """One assertion: the call's arguments and the value that makes it true."""

    args: list[Any]
    kwargs: dict[str, Any]
    expected: Any


@dataclass(frozen=True)
class LiteralTests:
    """All assertions of a test program, in order, and the entry point that they call."""

    entry_point: str
    calls: tuple[LiteralCall, ...]


def literal_tests(tests: str, entry_point: str | None) -> LiteralTests | None:
    """The assertions of a test program that consists of nothing else; None for any other program.

    They stand in one `check(candidate)` or at the top, where they all call one name. `entry_point` is what the task
    names; where it names none, the program's `check(Solution().add)` does, or the name that is called.
    """
    try:
        body = ast.parse(tests).body
        functions = [statement for statement in body if isinstance(statement, ast.FunctionDef)]
        others = [statement for statement in body if not isinstance(statement, ast.FunctionDef)]
        if functions:
            target, name, asserts = _in_check(functions, others, entry_point)
        else:
            asserts = _asserts(others)
            target = name = entry_point or _called_name(asserts)
        calls = tuple(_call(statement, name) for statement in asserts)
    # Text that does not parse, is nested too deeply, or holds something else than such assertions.
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return LiteralTests(target, calls) if calls else None


def _in_check(
    functions: list[ast.FunctionDef], others: list[ast.stmt], entry_point: str | None
) -> tuple[str, str, list[ast.Assert]]:
    """The entry point, its name inside of `check`, and the assertions there. Raises ValueError where there is more."""
    (function,) = functions
    if (
        function.name != "check"
        or not function.args.args
        or ast.unparse(function.args) != function.args.args[0].arg
    ):
        raise ValueError("another function than check(candidate)")
    given = [_given_to_check(statement) for statement in others]
    if _asserts([statement for statement, target in zip(others, given, strict=True) if target is None]):
        raise ValueError("assertions inside and outside of check")
    targets = {target for target in given if target is not None} - {"candidate"} | {entry_point} - {None}
    (target,) = targets
    if target is None or not ENTRY_POINT.fullmatch(target):
        raise ValueError("no entry point")
    return target, function.args.args[0].arg, _asserts(function.body)


def _given_to_check(statement: ast.stmt) -> str | None:
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Name(id="check"), args=[given], keywords=[])):
            return ast.unparse(given)
    return None


def _asserts(statements: list[ast.stmt]) -> list[ast.Assert]:
    """The assertions among statements that do nothing else. Raises ValueError where one does."""
    found = []
    for statement in statements:
        match statement:
            case ast.Assert(test=ast.Constant(value=True)) | ast.Pass() | ast.Expr(value=ast.Constant()):
                continue
            case ast.Assign(targets=[ast.Name(id="METADATA")], value=value):
                ast.literal_eval(value)
            case ast.Assert(msg=None | ast.Constant()):
                found.append(statement)
            case _:
                raise ValueError(f"a statement of another kind: {type(statement).__name__}")
    return found


def _called_name(asserts: list[ast.Assert]) -> str:
    """The name that the first assertion calls. Raises ValueError where it calls none."""
    names = [
        node.func.id
        for statement in asserts[:1]
        for node in ast.walk(statement.test)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    if len(names) != 1:
        raise ValueError("no call, or several")
    return names[0]


def _call(statement: ast.Assert, name: str) -> LiteralCall:
    """Read one assertion. Raises ValueError unless it is a call of `name` that is compared with a written-out value."""
    match statement.test:
        case ast.Compare(left=ast.Call() as call, ops=[ast.Eq()], comparators=[value]):
            expected = ast.literal_eval(value)
        case ast.Compare(
            left=ast.Call() as call,
            ops=[ast.Is()],
            comparators=[ast.Constant(value=True | False | None as expected)],
        ):
            pass
        case ast.Call() as call:
            expected = True
        case ast.UnaryOp(op=ast.Not(), operand=ast.Call() as call):
            expected = False
        case _:
            raise ValueError("not a call compared with a value")
    if not isinstance(call.func, ast.Name) or call.func.id != name:
        raise ValueError("a call of something else")
    kwargs = {
        keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg is not None
    }
    if len(kwargs) != len(call.keywords):
        raise ValueError("arguments by **")
    return LiteralCall([ast.literal_eval(argument) for argument in call.args], kwargs, expected)
