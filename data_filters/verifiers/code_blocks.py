"""The program in an answer: which of its code blocks is meant.

An answer such as

    First a helper.
    ```python
    def double(x): return 2 * x
    ```
    Then:
    ```python
    def quadruple(x): return double(double(x))
    ```

gives, for the entry point `quadruple`, both blocks, since the last one uses what the first one defines.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

MAX_CHARACTERS = 200_000
"""Longer programs are not parsed."""

_PYTHON_LABELS = frozenset({"", "python", "py", "python3", "py3", "python 3"})
_OPENING = re.compile(r"([ \t]*+)(`{3,}+|~{3,}+)([^`\n]*+)$")


class Missing(StrEnum):
    """Why an answer has no program to run."""

    NO_BLOCK = "code_no_block"
    SYNTAX_ERROR = "code_syntax_error"
    NO_ENTRY_POINT = "code_no_entry_point"
    TOO_LARGE = "code_too_large"


@dataclass(frozen=True)
class Program:
    """The program of an answer, and the functions and classes that it defines at its top."""

    text: str
    defined: tuple[str, ...]


@dataclass(frozen=True)
class NoProgram:
    """Why there is none."""

    missing: Missing
    detail: str


@dataclass(frozen=True)
class _Block:
    """A code block that parses."""

    text: str
    tree: ast.Module


def find_program(answer: str, entry_point: str | None) -> Program | NoProgram:
    """The program of an answer: its last Python block that defines the entry point, or its last one at all.

    Earlier blocks come before it where it uses names that they define. An answer without a block counts as code
    when all of it parses and does anything.
    """
    texts, unclosed = code_blocks(answer)
    if not texts and not unclosed and _is_bare_code(answer):
        texts = [answer]
    if not texts:
        last = "the last code block is never closed" if unclosed else f"the text ends {answer[-60:]!r}"
        return NoProgram(Missing.NO_BLOCK, last)
    if sum(map(len, texts)) > MAX_CHARACTERS:
        return NoProgram(Missing.TOO_LARGE, f"at most {MAX_CHARACTERS} characters of code are read")
    parsed = [_parsed(text) for text in texts]
    blocks = [block for block in parsed if isinstance(block, _Block)]
    wanted = None if entry_point is None else entry_point.partition(".")[0].removesuffix("()")
    chosen = [block for block in blocks if wanted is None or wanted in _bound_names(block.tree)]
    if chosen and (wanted is not None or chosen[-1] is parsed[-1]):
        return _with_earlier(chosen[-1], blocks)
    error = next((problem for problem in reversed(parsed) if isinstance(problem, str)), None)
    if error is not None:
        return NoProgram(Missing.SYNTAX_ERROR, error)
    return NoProgram(Missing.NO_ENTRY_POINT, f"no code block defines {wanted!r}")


def code_blocks(answer: str) -> tuple[list[str], bool]:
    """The fenced blocks that hold Python or name no language, and whether the last fence is left open."""
    found: list[str] = []
    lines: list[str] = []
    opening: re.Match[str] | None = None
    # Not splitlines, which also cuts at form feeds and the like inside of texts.
    for line in answer.replace("\r\n", "\n").split("\n"):
        if opening is None:
            opening, lines = _OPENING.match(line), []
        elif _closes(line, opening[2]):
            if opening[3].strip().lower() in _PYTHON_LABELS:
                found.append("\n".join(_without_indent(lines, len(opening[1]))) + "\n")
            opening = None
        else:
            lines.append(line)
    return found, opening is not None


def _closes(line: str, fence: str) -> bool:
    """Whether a line is a fence of the same sign, at least as long, and nothing more."""
    bare = line.strip()
    return len(bare) >= len(fence) and set(bare) == {fence[0]}


def _without_indent(lines: list[str], width: int) -> Iterator[str]:
    """Lines without the indentation that their fence has, as in a numbered list."""
    for line in lines:
        yield line[width:] if not line[:width].strip() else line


def _is_bare_code(answer: str) -> bool:
    """Whether a text without a fence is a program: prose of one word also parses, but does nothing."""
    if len(answer) > MAX_CHARACTERS:
        return False
    block = _parsed(answer)
    if not isinstance(block, _Block):
        return False
    return any(not isinstance(step, ast.Expr) or isinstance(step.value, ast.Call) for step in block.tree.body)


def _parsed(text: str) -> _Block | str:
    """A block with its tree, or what is wrong with it."""
    try:
        return _Block(text, ast.parse(text))
    except (SyntaxError, ValueError) as error:
        return str(error)[:200]
    # The parser's own guards against deep nesting; the process is as it was.
    except (RecursionError, MemoryError):
        return "nested too deeply to be parsed"


def _with_earlier(chosen: _Block, blocks: list[_Block]) -> Program:
    """The chosen block, after the earlier ones that define what it lacks."""
    lacking = _used_names(chosen.tree) - _bound_names(chosen.tree) - vars(builtins).keys()
    parts = [chosen]
    for block in reversed(blocks[: blocks.index(chosen)]):
        bound = _bound_names(block.tree)
        if bound & lacking:
            parts.insert(0, block)
            lacking = (lacking | _used_names(block.tree)) - bound
    defined = [name for block in parts for name in _defined_names(block.tree)]
    return Program("\n".join(block.text for block in parts), tuple(dict.fromkeys(defined)))


def _defined_names(tree: ast.Module) -> list[str]:
    """The functions and classes at the top of a program."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [step.name for step in tree.body if isinstance(step, kinds)]


def _bound_names(tree: ast.Module) -> set[str]:
    """All names that a program's top binds, imports and assignments included."""
    found = set(_defined_names(tree))
    for step in _top_steps(tree):
        if isinstance(step, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in step.names}
        elif isinstance(step, ast.Name) and isinstance(step.ctx, ast.Store):
            found.add(step.id)
        elif isinstance(step, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(step.name)
    return found


def _top_steps(tree: ast.Module) -> Iterator[ast.AST]:
    """All nodes outside of functions and classes, those themselves included."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def _used_names(tree: ast.Module) -> set[str]:
    return {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
