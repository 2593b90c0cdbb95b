"""What a conversation is trained as: its history policy, and its twins with a cut thought or without one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from data_filters.samples import Message, Mode, Sample


def history_views(sample: Sample, history: str) -> list[tuple[Sample, bool]]:
    """Return the (conversation, keep_cots) pairs that `sample` is trained as.

    `keep`: one, with all thoughts. `strip`: one, with earlier thoughts taken out by the template. Both leave answers in
    another mode than the last one's untrained: one request for a mode stands above them all. `expand`: one per
    assistant turn that is trained, cut after it, earlier thoughts taken out and earlier turns not trained: just as the
    model will see them in use. A conversation with one assistant turn is the same in all three.
    """
    turns = [index for index, message in enumerate(sample.messages) if message.role == "assistant"]
    if len(turns) == 1 and turns[0] == len(sample.messages) - 1:
        return [(sample, history == "keep")]
    if history != "expand" or len(turns) == 1:
        messages = _in_one_mode(sample.messages[: turns[-1] + 1])
        return [(msgspec.structs.replace(sample, messages=messages), history == "keep")]
    earlier = untrained(sample.messages)
    views = [
        (
            msgspec.structs.replace(
                sample, id=f"{sample.id}#{index}", messages=[*earlier[:index], sample.messages[index]]
            ),
            False,
        )
        for index in turns
        if sample.messages[index].train != "none"
    ]
    # Where nothing is trained the whole conversation stays, to be refused and counted.
    return views or [(sample, False)]


def mode_of(messages: Sequence[Message]) -> Mode:
    """Return how the last question is answered: THINK where any turn since the last user's has a thought, such as the
    call of a function whose result is then told without one."""
    for message in reversed(messages):
        if message.role == "user":
            break
        if message.reasoning is not None:
            return Mode.THINK
    return Mode.DIRECT


def _in_one_mode(messages: list[Message]) -> list[Message]:
    """Return the messages of a conversation that ends in an answer, with answers in another mode untrained."""
    questions = [index for index, message in enumerate(messages) if message.role == "user"]
    exchanges = [messages[start:end] for start, end in pairwise([0, *questions, len(messages)])]
    wanted = mode_of(exchanges[-1])
    return [
        message
        for exchange in exchanges
        for message in (exchange if mode_of(exchange) is wanted else untrained(exchange))
    ]


def untrained(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with nothing of them trained."""
    return [
        msgspec.structs.replace(message, train="none") if message.role == "assistant" else message
        for message in messages
    ]


def cut_thought(sample: Sample, reasoning: str) -> Sample:
    """Return `sample` with its thought replaced by `reasoning`, closed by force.

    Only `</think>` and the end token are trained: what the cut thought says must not be learnt, only that it ends
    here (Hermes 4 report, section 3.1).
    """
    answer = msgspec.structs.replace(sample.answer, reasoning=reasoning, train="close_think")
    messages = [*untrained(sample.prompt), answer]
    return msgspec.structs.replace(sample, id=f"{sample.id}#cut", messages=messages)


def without_thought(sample: Sample) -> Sample:
    """Return `sample` answered at once: the same answer, no thought. Earlier turns are trained by `sample` alone."""
    answer = msgspec.structs.replace(sample.answer, reasoning=None)
    messages = [*untrained(sample.prompt), answer]
    return msgspec.structs.replace(sample, id=f"{sample.id}#direct", messages=messages)
