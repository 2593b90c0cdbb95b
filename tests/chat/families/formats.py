"""The formats of our two templates and of public model families, each written out by hand.

A function takes a conversation and yields its pieces; it never looks at the template, which is a file beside this one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from data_filters.samples import Message

from .pieces import DIRECT_PROMPT, THINK_PROMPT, Chat, Piece, frame, given, said, thought_in_tags, trimmed

Write = Callable[[Chat], Iterator[Piece]]


def hermes(chat: Chat, bos: str, head: str, end: str, after: str) -> Iterator[Piece]:
    """Our two templates. `head` holds ROLE for the name of the role."""
    first = chat.messages[0]
    own = given(first) if first.role == "system" else frame(THINK_PROMPT if chat.thinking else DIRECT_PROMPT)
    yield frame(bos)
    if own.text or chat.tools:
        yield from (frame(head.replace("ROLE", "system")), own)
    if chat.tools:
        yield frame(
            "\n\nYou can call the functions whose JSON signatures stand inside <tools> </tools>. Make each call as a "
            "JSON object with name and arguments inside <tool_call> </tool_call>.\n<tools>"
        )
        yield frame("".join(f"\n{_json(tool)}" for tool in chat.tools) + "\n</tools>")
    if own.text or chat.tools:
        yield frame(end + after)
    for index, message in enumerate(chat.messages):
        if index == 0 and message.role == "system":
            continue
        yield frame(head.replace("ROLE", message.role))
        if message.role == "assistant":
            if chat.shows_thought(index):
                yield from thought_in_tags(message, message.reasoning or "")
            elif message.reasoning is not None and chat.thinking:
                yield frame("<think> </think>\n")
            yield said(message, message.content, "content")
            for number, call in enumerate(_calls(message)):
                yield said(message, "\n" if message.content or number else "")
                yield said(message, f"<tool_call>\n{_json(call)}\n</tool_call>")
            yield said(message, end, "end")
            yield frame(after)
        elif message.role == "tool":
            yield from (frame("<tool_response>\n"), given(message), frame(f"\n</tool_response>{end}{after}"))
        else:
            yield from (given(message), frame(end + after))


def llama31(chat: Chat) -> Iterator[Piece]:
    """A call is bare JSON; results are JSON strings."""
    system, *messages = chat.messages
    yield frame("<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n")
    yield frame("Environment: ipython\n" if chat.tools else "")
    yield from (
        frame("Today Date: 26 Jul 2024\n\n"),
        given(system, system.content.strip()),
        frame("<|eot_id|>"),
    )
    for index, message in enumerate(messages, 1):
        role = "ipython" if message.role == "tool" else message.role
        yield frame(f"<|start_header_id|>{role}<|end_header_id|>\n\n")
        if index == 1 and chat.tools:
            yield frame("Answer with one JSON call of these functions:\n\n")
            yield frame("".join(f"{_json(tool, indent=4)}\n\n" for tool in chat.tools))
        if message.role == "tool":
            yield given(message, _json(message.content))
        elif message.role != "assistant":
            yield given(message, message.content.strip())
        elif message.tool_calls:
            (call,) = _calls(message)
            yield said(message, f'{{"name": "{call["name"]}", "parameters": {_json(call["arguments"])}}}')
        else:
            yield from _trimmed_with_thought(chat, index)
        yield said(message, "<|eot_id|>", "end") if message.role == "assistant" else frame("<|eot_id|>")


def qwen25(chat: Chat) -> Iterator[Piece]:
    """The newline after `assistant` belongs to the header, also where a call follows it at once."""
    system, *messages = chat.messages
    yield from (
        frame("<|im_start|>system\n"),
        given(system),
        frame(_qwen_tools(chat, "\n\n")),
        frame("<|im_end|>\n"),
    )
    for index, message in enumerate(messages, 1):
        if message.role == "assistant":
            yield frame("<|im_start|>assistant\n")
            spoken = list(_with_thought(chat, index))
            yield from spoken
            yield from _qwen_calls(message, newline_first=any(piece.text for piece in spoken))
            yield from (said(message, "<|im_end|>", "end"), frame("\n"))
        elif message.role == "tool":
            yield from _qwen_result(chat, index)
        else:
            yield from (frame(f"<|im_start|>{message.role}\n"), given(message), frame("<|im_end|>\n"))


def qwen3(chat: Chat) -> Iterator[Piece]:
    """The last turn has a think block; one that the generation prompt writes is not trained."""
    own = chat.messages[0].role == "system"
    if own or chat.tools:
        yield frame("<|im_start|>system\n")
        if own:
            yield given(chat.messages[0])
        yield frame(_qwen_tools(chat, "\n\n" if own else "") + "<|im_end|>\n")
    question = max((i for i, message in enumerate(chat.messages) if message.role == "user"), default=-1)
    for index, message in enumerate(chat.messages):
        last = index == len(chat.messages) - 1
        if index == 0 and own:
            continue
        if message.role == "assistant":
            yield frame("<|im_start|>assistant\n")
            content = message.content
            if index > question and (last or message.reasoning):
                content = content.lstrip("\n")
                if message.reasoning is None:
                    yield frame("<think>\n\n</think>\n\n")
                else:
                    thought = message.reasoning.strip("\n")
                    skipped = message.reasoning.find(thought)
                    opening, _, *closing = thought_in_tags(message, thought, after="\n\n")
                    yield opening
                    yield Piece(thought, closing[0].by, message, "reasoning", skipped)
                    yield from closing
            skipped = len(message.content) - len(content)
            yield Piece(content, said(message, "").by, message, "content", skipped)
            yield from _qwen_calls(message, newline_first=bool(content))
            yield from (said(message, "<|im_end|>", "end"), frame("\n"))
        elif message.role == "tool":
            yield from _qwen_result(chat, index)
        else:
            yield from (frame(f"<|im_start|>{message.role}\n"), given(message), frame("<|im_end|>\n"))


def gemma3(chat: Chat) -> Iterator[Piece]:
    """The system text opens the first user turn."""
    system, *messages = chat.messages
    yield frame("<bos>")
    for index, message in enumerate(messages, 1):
        if message.role == "assistant":
            yield frame("<start_of_turn>model\n")
            yield from _trimmed_with_thought(chat, index)
            yield from (said(message, "<end_of_turn>", "end"), frame("\n"))
        else:
            yield frame("<start_of_turn>user\n")
            if index == 1:
                yield from (given(system), frame("\n\n"))
            yield from (given(message, message.content.strip()), frame("<end_of_turn>\n"))


def mistral(chat: Chat) -> Iterator[Piece]:
    """Nothing stands between a question and its answer, so the space before it is the model's."""
    system, *messages = chat.messages
    question = max(index for index, message in enumerate(messages) if message.role == "user")
    identities = (f"call{number:05d}" for number in range(1000))
    pending: list[str] = []
    yield frame("<s>")
    for index, message in enumerate(messages):
        if message.role == "user":
            if index == question and chat.tools:
                yield frame(f"[AVAILABLE_TOOLS] {_json(chat.tools)}[/AVAILABLE_TOOLS]")
            yield frame("[INST] ")
            if index == question:
                yield from (given(system), frame("\n\n"))
            yield from (given(message), frame("[/INST]"))
        elif message.role == "tool":
            yield from (frame('[TOOL_RESULTS] {"content": '), given(message))
            yield frame(f', "call_id": "{pending.pop(0)}"}}[/TOOL_RESULTS]')
        elif message.tool_calls:
            calls = _calls(message)
            pending = [next(identities) for _ in calls]
            written = [
                f'{{"name": "{call["name"]}", "arguments": {_json(call["arguments"])}, "id": "{identity}"}}'
                for call, identity in zip(calls, pending, strict=True)
            ]
            yield from (said(message, f"[TOOL_CALLS] [{', '.join(written)}]"), said(message, "</s>", "end"))
        else:
            yield said(message, " ")
            yield from _trimmed_with_thought(chat, index + 1)
            yield said(message, "</s>", "end")


def phi3(chat: Chat) -> Iterator[Piece]:
    """Its tokens take the blanks behind them, so that no newline after them is a token."""
    for index, message in enumerate(chat.messages):
        yield frame(f"<|{message.role}|>")
        if message.role == "assistant":
            yield from (*_with_thought(chat, index), said(message, "<|end|>", "end"))
        else:
            yield from (given(message, _without_leading_blanks(message.content)), frame("<|end|>"))
    yield frame("<|endoftext|>")


def gpt_oss(chat: Chat) -> Iterator[Piece]:
    """The header is `<|start|>assistant`: the model writes the channels by itself."""
    system, *messages = chat.messages
    yield frame("<|start|>system<|message|>Reasoning: medium<|end|>")
    yield from (frame("<|start|>developer<|message|># Instructions\n\n"), given(system))
    for tool in chat.tools or []:
        yield frame(f"\n\n# Tool {tool['function']['name']}\n{tool['function']['description']}")
    yield frame("<|end|>")
    finals = [
        index
        for index, message in enumerate(messages[:-1])
        if message.role == "assistant" and not message.tool_calls
    ]
    called = ""
    for index, message in enumerate(messages):
        if message.role == "user":
            yield from (frame("<|start|>user<|message|>"), given(message), frame("<|end|>"))
        elif message.role == "tool":
            yield frame(f"<|start|>functions.{called} to=assistant<|channel|>commentary<|message|>")
            yield from (given(message, _json(message.content)), frame("<|end|>"))
        else:
            yield frame("<|start|>assistant")
            if message.reasoning and (not finals or index > finals[-1]):
                yield said(message, "<|channel|>analysis<|message|>")
                yield said(message, message.reasoning, "reasoning")
                yield said(message, "<|end|><|start|>assistant")
            if message.tool_calls:
                (call,) = _calls(message)
                called = call["name"]
                yield said(message, f" to=functions.{called}<|channel|>commentary json<|message|>")
                yield from (said(message, _json(call["arguments"])), said(message, "<|call|>", "end"))
            else:
                yield said(message, "<|channel|>final<|message|>")
                yield said(message, message.content, "content")
                yield said(message, "<|return|>" if index == len(messages) - 1 else "<|end|>", "end")


def deepseek_r1(chat: Chat) -> Iterator[Piece]:
    """Only the last turn shows its thought, which the generation prompt has opened."""
    system, *messages = chat.messages
    yield from (frame("<｜begin▁of▁sentence｜>"), given(system))
    for index, message in enumerate(messages, 1):
        before = chat.messages[index - 1].role
        after = chat.messages[index + 1].role if index + 1 < len(chat.messages) else None
        if message.role == "user":
            yield from (frame("<｜User｜>"), given(message))
        elif message.role == "tool":
            yield frame("" if before == "tool" else "<｜tool▁outputs▁begin｜>")
            yield from (frame("<｜tool▁output▁begin｜>"), given(message), frame("<｜tool▁output▁end｜>"))
            yield frame("" if after == "tool" else "<｜tool▁outputs▁end｜>")
        else:
            yield frame("" if before == "tool" else "<｜Assistant｜>")
            if after is None:
                opening, *rest = _with_thought(chat, index)
                if rest and before != "tool":
                    opening = frame(opening.text)
                yield from (opening, *rest)
            else:
                content = message.content.lstrip("\n")
                yield said(message, content, "content")
            for number, call in enumerate(_calls(message)):
                yield said(message, "\n" if number else "<｜tool▁calls▁begin｜>")
                yield said(message, f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{call['name']}\n")
                yield said(message, f"```json\n{_json(call['arguments'])}\n```<｜tool▁call▁end｜>")
            yield said(message, "<｜tool▁calls▁end｜>" if message.tool_calls else "")
            yield said(message, "<｜end▁of▁sentence｜>", "end")


def smollm2(chat: Chat) -> Iterator[Piece]:
    """Plain ChatML."""
    for index, message in enumerate(chat.messages):
        yield frame(f"<|im_start|>{message.role}\n")
        if message.role == "assistant":
            yield from (*_with_thought(chat, index), said(message, "<|im_end|>", "end"), frame("\n"))
        else:
            yield from (given(message), frame("<|im_end|>\n"))


def command_r(chat: Chat) -> Iterator[Piece]:
    """No newline anywhere."""
    yield frame("<BOS_TOKEN>")
    for index, message in enumerate(chat.messages):
        name = {"system": "SYSTEM", "user": "USER", "assistant": "CHATBOT"}[message.role]
        yield frame(f"<|START_OF_TURN_TOKEN|><|{name}_TOKEN|>")
        if message.role == "assistant":
            yield from (*_trimmed_with_thought(chat, index), said(message, "<|END_OF_TURN_TOKEN|>", "end"))
        else:
            yield from (given(message, message.content.strip()), frame("<|END_OF_TURN_TOKEN|>"))


def llama2(chat: Chat) -> Iterator[Piece]:
    """A begin token opens every question; the spaces around an answer are the model's."""
    system, *messages = chat.messages
    for index, message in enumerate(messages, 1):
        if message.role == "user":
            yield frame("<s>[INST] ")
            if index == 1:
                yield from (frame("<<SYS>>\n"), given(system), frame("\n<</SYS>>\n\n"))
            yield from (given(message, message.content.strip()), frame(" [/INST]"))
        else:
            yield said(message, " ")
            yield from _trimmed_with_thought(chat, index)
            yield from (said(message, " "), said(message, "</s>", "end"))


def _with_thought(chat: Chat, index: int) -> Iterator[Piece]:
    """The content of a template that knows no thoughts: the thought stands in it, between think tags."""
    message = chat.messages[index]
    if chat.shows_thought(index):
        yield from thought_in_tags(message, message.reasoning or "")
    yield said(message, message.content, "content")


def _trimmed_with_thought(chat: Chat, index: int) -> Iterator[Piece]:
    """The same where the template trims it."""
    message = chat.messages[index]
    if not chat.shows_thought(index):
        yield trimmed(message)
    elif not message.content.strip():
        yield from thought_in_tags(message, message.reasoning or "", after="")
    else:
        yield from thought_in_tags(message, message.reasoning or "")
        yield said(message, message.content.rstrip(), "content")


def _qwen_tools(chat: Chat, before: str) -> str:
    lines = "".join(f"\n{_json(tool)}" for tool in chat.tools or [])
    return f"{before}# Tools\n<tools>{lines}\n</tools>" if chat.tools else ""


def _qwen_calls(message: Message, newline_first: bool) -> Iterator[Piece]:
    for number, call in enumerate(_calls(message)):
        yield said(message, "\n" if number or newline_first else "")
        arguments = _json(call["arguments"])
        yield said(
            message, f'<tool_call>\n{{"name": "{call["name"]}", "arguments": {arguments}}}\n</tool_call>'
        )


def _qwen_result(chat: Chat, index: int) -> Iterator[Piece]:
    """Results that follow one another share a user turn."""
    first = index == 0 or chat.messages[index - 1].role != "tool"
    last = index + 1 == len(chat.messages) or chat.messages[index + 1].role != "tool"
    yield frame(("<|im_start|>user" if first else "") + "\n<tool_response>\n")
    yield given(chat.messages[index])
    yield frame("\n</tool_response>" + ("<|im_end|>\n" if last else ""))


def _calls(message: Message) -> list[dict[str, Any]]:
    return [call.get("function", call) for call in message.tool_calls or []]


def _json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _without_leading_blanks(text: str) -> str:
    # The tokenizer's blanks are Unicode's; Python also counts four separators of ASCII.
    start = next(
        (place for place, sign in enumerate(text) if not sign.isspace() or sign in "\x1c\x1d\x1e\x1f"),
        len(text),
    )
    return text[start:]
