"""Running a text as a Python program in a module of its own."""

from __future__ import annotations

import os
import sys
import types


def new_module(name: str) -> types.ModuleType:
    """An empty module that is imported under `name`, as dataclasses and the like expect of a class's module."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    return module


def compiled(text: str, filename: str) -> types.CodeType:
    """The code of a program. Raises what `compile` raises for a text that is none."""
    # dont_inherit: the program must not get this file's `from __future__` flags.
    return compile(text, filename, "exec", dont_inherit=True)


def run_in(module: types.ModuleType, text: str, filename: str) -> None:
    """Run `text` as the module's program. Raises whatever it raises."""
    run_compiled(module, compiled(text, filename))


def run_compiled(module: types.ModuleType, code: types.CodeType) -> None:
    """Run a program as the module's. Raises whatever it raises."""
    exec(code, module.__dict__)


def resolve(entry_point: str, module: types.ModuleType) -> object:
    """The object that `entry_point` names. Raises NameError, AttributeError, and what a called class raises."""
    first, *attributes = entry_point.split(".")
    name, called = _called(first)
    if name not in vars(module):
        raise NameError(f"name {name!r} is not defined", name=name)
    found = vars(module)[name]
    found = found() if called else found
    for part in attributes:
        name, called = _called(part)
        found = getattr(found, name)
        found = found() if called else found
    return found


def discard_output() -> None:
    """Throw away all that is printed from here on: what a function prints decides nothing."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _called(part: str) -> tuple[str, bool]:
    return part.removesuffix("()"), part.endswith("()")
