"""What a conversation is trained as: its history policy, and its twins with a cut thought or without one."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from data_filters.samples import Message, Sample


def history_views(sample: Sample, history: str) -> list[tuple[Sample, bool]]:
    """Return the (conversation, keep_cots) pairs that `sample` is trained as.

    `keep`: one, with all thoughts. `strip`: one, with earlier thoughts taken out by the template. `expand`: one per
    assistant turn that is trained, cut after it, earlier thoughts taken out and earlier turns not trained: just as the
    model will see them in use. A conversation with one assistant turn is the same in all three.
    """
    if history != "expand":
        return [(sample, history == "keep")]
    turns = [index for index, message in enumerate(sample.messages) if message.role == "assistant"]
    if len(turns) == 1:
        return [(msgspec.structs.replace(sample, messages=sample.messages[: turns[0] + 1]), False)]
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
