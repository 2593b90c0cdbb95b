"""The candidate's process: it runs an answer's program and says what its functions give back.

The job, on the channel: {"setup", "code"} and, without a peer, {"entry_point", "one_object", "cases"}: each case is
plain data, (arguments, keyword arguments), and gets its reply on the channel; `one_object` calls one and the same
object in all of them, where `Solution().add` would make a new one for each. With a peer the program is run, LOADED
is said on the channel, and the questions of a test program on the peer are answered.

Nothing here holds an expected value, and nothing that this process says about itself is believed: a hostile
program can make it send anything, which is then no more than its answer.
"""

from __future__ import annotations

import functools
import json
import types
from collections.abc import Callable
from typing import Any

from data_filters.sandbox.channel import Channel
from data_filters.sandbox.harness import plain_data, plain_reader
from data_filters.sandbox.harness.messages import Question, Reply, described, pack, unpack
from data_filters.sandbox.harness.program import discard_output, new_module, resolve, run_in

MODULE = "solution"


def main(channel: Channel, peer: Channel | None) -> None:
    """Run the job that comes over `channel`."""
    job = json.loads(channel.receive() or b"")
    discard_output()
    module = new_module(MODULE)
    failing = Reply.NO_SETUP
    try:
        run_in(module, job["setup"], "<setup>")
        classes = own_classes(module)
        failing = Reply.NOT_LOADED
        run_in(module, job["code"], "<answer>")
        # The answer may define a class of the setup once more; then its own one is used here.
        classes = {name: now for name in classes if isinstance(now := vars(module).get(name), type)}
    # A program may raise anything, SystemExit included; that is its result.
    except BaseException as error:
        channel.send(pack(failing, described(error)))
        return
    if peer is None:
        find: Callable[[], Any] = functools.partial(resolve, job["entry_point"], module)
        if job["one_object"]:
            find = functools.cache(find)
        for case in job["cases"]:
            channel.send(_case_result(find, case, classes))
    else:
        channel.send(pack(Reply.LOADED, ""))
        _Server(module, classes).serve(peer)


def own_classes(module: types.ModuleType) -> dict[str, type]:
    """The classes that a module's program defined, by name."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__ and value.__name__ == name
    }


def _case_result(find: Callable[[], Any], case: str, classes: dict[str, type]) -> bytes:
    try:
        arguments, named = plain_reader.read(case).value
        result = find()(*arguments, **named)
        return pack(Reply.VALUE, plain_data.write(result, classes).text)
    except plain_data.NotPlainDataError as error:
        return pack(Reply.NOT_PLAIN, str(error))
    # Whatever a candidate raises is its result.
    except BaseException as error:
        return pack(Reply.RAISED, described(error))


class _Server:
    """Answers questions about the objects of a module; those that are no plain data get numbers."""

    def __init__(self, module: types.ModuleType, classes: dict[str, type]) -> None:
        self._module = module
        self._classes = classes
        self._objects: list[Any] = []

    def serve(self, peer: Channel) -> None:
        """Answer until the other side has gone."""
        while (message := peer.receive()) is not None:
            try:
                reply = self._answer(*unpack(message))
            # Whatever a candidate raises is its result.
            except BaseException as error:
                reply = pack(Reply.RAISED, described(error))
            peer.send(reply)

    def _answer(self, question: str, text: str) -> bytes:
        if question == Question.NAME:
            return self._numbered(resolve(text, self._module))
        number, _, rest = text.partition(" ")
        target = self._objects[int(number)]
        if question == Question.CALL:
            return self._call(target, rest)
        found = getattr(target, rest)
        try:
            return pack(Reply.VALUE, plain_data.write([found], self._classes).text)
        except plain_data.NotPlainDataError:
            return self._numbered(found)

    def _call(self, target: Any, text: str) -> bytes:
        """Call with what `text` holds; the reply also holds arguments that were changed in place."""
        given = plain_reader.read(text, self._classes)
        arguments, named = given.value
        result = target(*arguments, **named)
        try:
            # The dictionary of named arguments itself never reaches the function.
            can_change = any(plain_data.is_changeable(part) for part in given.objects if part is not named)
            changed = can_change and plain_data.write((arguments, named), self._classes).text != text
        except plain_data.NotPlainDataError as error:
            return pack(Reply.NOT_PLAIN, f"a changed argument: {error}")
        parts = [result, arguments, named] if changed else [result]
        try:
            return pack(Reply.VALUE, plain_data.write(parts, self._classes, given.objects, changed).text)
        except plain_data.NotPlainDataError:
            return self._numbered(result)

    def _numbered(self, value: object) -> bytes:
        self._objects.append(value)
        return pack(Reply.OBJECT, f"{len(self._objects) - 1} {type(value).__name__}")
