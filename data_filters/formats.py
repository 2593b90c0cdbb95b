"""Rows in the forms that people publish them, read as samples.

One example of each form:

    openai    {"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]}
    sharegpt  {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]}
    alpaca    {"instruction": "Add.", "input": "2 and 2", "output": "4", "system": "", "history": [["Hi",
    "Hello"]]}
    r1        {"problem": "2+2?", "generations": ["<think>Two and two.</think>4"], "answer": "4"}
    gsm8k     {"question": "2+2?", "answer": "2+2=<<2+2=4>>4\\n#### 4"}

A sample's own row (see `samples`) is an openai row with more fields; programming problems are in `code_rows`,
OpenAssistant's message trees in `oasst`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from data_filters import code_rows, oasst
from data_filters.row_fields import Row, RowError, kind_of, read_first_text, read_text
from data_filters.samples import MathTask, Message, Mode, Role, Sample, Task, TrainedPart
from data_filters.settings import RowFormat, Source

OPENING_TAG = "<think>"
CLOSING_TAG = "</think>"

LABEL = "label"
"""The key of a sample's meta that holds what its source says of the answer: true for a right one."""

_ROLES: dict[str, Role] = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "chatgpt": "assistant",
    "function_call": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "function_response": "tool",
}  # fmt: skip
_THOUGHT_FIELDS = ("reasoning", "reasoning_content", "thinking")
_QUESTION_FIELDS = ("problem", "question", "prompt")
_GENERATION_FIELDS = ("generation", "generations", "solution")
_CORRECTNESS_FIELDS = ("correctness_math_verify", "correctness_llama")
_CALCULATOR_MARK = re.compile(r"<<[^<>]*>>")
_FINAL_LINE = re.compile(r"^####\s*(.+?)\s*$", re.MULTILINE)


def parse_row(row: object, source: Source, number: int) -> Sample:
    """Read one row of `source` as a sample.

    `number` counts the source's rows from 0 and makes the id `<source>/<number>` where the row has none of
    ours. Raises RowError with a slug for a row that cannot be read, or that is not of the mode the source
    asks for.
    """
    sample, layout = _read_row(row, source, number)
    _require_turns(sample.messages)
    # A worked solution is a thought only by our reading, so that a gsm8k row serves both modes.
    return _in_mode(sample, source, strip=source.strip_reasoning or layout == "gsm8k")


def parse_problem(row: object, source: Source, number: int) -> Sample:
    """Read one row of `source` as a problem: the prompt and the task; an answer may be missing and is left out.

    Raises RowError as `parse_row` does.
    """
    sample, _ = _read_row(row, source, number)
    if not sample.prompt:
        raise RowError("no_messages", "the conversation has no prompt")
    return msgspec.structs.replace(sample, messages=sample.prompt)


def _read_row(row: object, source: Source, number: int) -> tuple[Sample, RowFormat]:
    if not isinstance(row, dict):
        raise RowError("row_not_object", f"a row is a JSON object; this one is {kind_of(row)}")
    layout = detect_format(row) if source.format == "auto" else source.format
    sample = Sample(
        id=_row_id(row, source, number),
        source=source.name,
        messages=_READERS[layout](row),
        tools=_read_tools(row.get("tools")),
        task=_read_task(row, source, layout),
        meta=_read_meta(row, layout) | _read_label(row, source),
    )
    return sample, layout


def detect_format(row: Row) -> RowFormat:
    """Name the form of a row by its keys. Raises RowError `no_messages` when no form fits."""
    if "messages" in row:
        return "openai"
    if "conversations" in row or "conversation" in row:
        return "sharegpt"
    if "instruction" in row and "output" in row:
        return "alpaca"
    if oasst.is_tree(row):
        return "oasst"
    if "question" in row and isinstance(row.get("answer"), str) and _FINAL_LINE.search(row["answer"]):
        return "gsm8k"
    if (code_layout := code_rows.layout_of(row)) is not None:
        return code_layout
    if any(name in row for name in _QUESTION_FIELDS) and any(name in row for name in _GENERATION_FIELDS):
        return "r1"
    keys = ", ".join(sorted(map(str, row))) or "none"
    raise RowError("no_messages", f"no known form has these keys: {keys}")


def split_thought(content: str) -> tuple[str | None, str]:
    """Split a text that opens with a thought into (thought, answer), each without blanks around it.

    A text that does not open with the tag, or never closes it, comes back whole as (None, text): the check of
    the think form is to see what is wrong with it.
    """
    text = content.lstrip()
    if not text.startswith(OPENING_TAG):
        return None, content
    thought, closing, answer = text[len(OPENING_TAG) :].partition(CLOSING_TAG)
    if not closing:
        return None, content
    return thought.strip(), answer.strip()


def has_think_tag(text: str) -> bool:
    """Whether an opening or closing tag of a thought stands anywhere in `text`."""
    return OPENING_TAG in text or CLOSING_TAG in text


def intended_mode(sample: Sample) -> Mode:
    """The mode a sample was written in: an ill-formed thought left in the content counts as thinking."""
    answer = sample.answer
    if answer.reasoning is None and not has_think_tag(answer.content):
        return Mode.DIRECT
    return Mode.THINK


def _in_mode(sample: Sample, source: Source, strip: bool) -> Sample:
    """Hold a sample against the source's mode; with `strip`, think rows become direct ones."""
    if source.mode is None:
        return sample
    found = intended_mode(sample)
    if found == source.mode:
        return sample
    if strip and source.mode == Mode.DIRECT and sample.answer.reasoning is not None:
        for message in sample.messages:
            message.reasoning = None
        return sample
    raise RowError(
        "mode_not_wanted", f"the row is in mode {found.value}; the source keeps mode {source.mode}"
    )


def _row_id(row: Row, source: Source, number: int) -> str:
    """Samples keep their id; other rows are numbered, since their ids are often missing or repeated."""
    own = row.get("id")
    if isinstance(own, str) and own and "source" in row and "messages" in row:
        return own
    return f"{source.name}/{number}"


def _require_turns(messages: list[Message]) -> None:
    if not messages:
        raise RowError("no_messages", "the conversation is empty")
    if all(message.role != "assistant" for message in messages):
        roles = ", ".join(message.role for message in messages)
        raise RowError("no_assistant_turn", f"nobody answers; the roles are: {roles}")


def _read_openai(row: Row) -> list[Message]:
    return [_read_message(turn) for turn in _turns(row, "messages")]


def _read_sharegpt(row: Row) -> list[Message]:
    turns = _turns(row, "conversations" if "conversations" in row else "conversation")
    messages = [_read_message(turn) for turn in turns]
    if isinstance(row.get("system"), str) and row["system"]:
        messages.insert(0, Message("system", row["system"]))
    return messages


def _read_alpaca(row: Row) -> list[Message]:
    messages: list[Message] = []
    if row.get("system"):
        messages.append(Message("system", read_text(row["system"], "system")))
    history = row.get("history") or []
    if not isinstance(history, list):
        raise RowError("message_not_text", f"history is a list of pairs; here it is {kind_of(history)}")
    for exchange in history:
        if not isinstance(exchange, list | tuple) or len(exchange) != 2:
            raise RowError("message_not_text", "each entry of history is a pair [question, answer]")
        messages.append(Message("user", read_text(exchange[0], "history")))
        messages.append(_assistant(read_text(exchange[1], "history")))
    question = read_text(row.get("instruction"), "instruction")
    if row.get("input"):
        question += "\n" + read_text(row["input"], "input")
    messages.append(Message("user", question))
    messages.append(_assistant(read_text(row.get("output"), "output")))
    return messages


def _read_r1(row: Row) -> list[Message]:
    question = read_first_text(row, _QUESTION_FIELDS)
    return [Message("user", question), _assistant(_generation(row))]


def _read_gsm8k(row: Row) -> list[Message]:
    worked, final = _split_gsm8k(read_text(row.get("answer"), "answer"))
    answer = Message("assistant", f"The answer is $\\boxed{{{final}}}$.", reasoning=worked)
    return [Message("user", read_text(row.get("question"), "question")), answer]


def _read_code_problem(layout: code_rows.CodeLayout, row: Row) -> list[Message]:
    try:
        problem = code_rows.read_row(row, layout)
    except ValueError as error:
        raise RowError("row_not_valid", f"as a row of form {layout}: {error}") from error
    return [Message("user", problem.question()), Message("assistant", problem.answer())]


_READERS: dict[RowFormat, Callable[[Row], list[Message]]] = {
    "openai": _read_openai,
    "sharegpt": _read_sharegpt,
    "alpaca": _read_alpaca,
    "r1": _read_r1,
    "gsm8k": _read_gsm8k,
    "oasst": oasst.read_tree,
    **{layout: partial(_read_code_problem, layout) for layout in code_rows.CODE_LAYOUTS},
}


def _split_gsm8k(answer: str) -> tuple[str, str]:
    """Split a worked solution into its steps, without calculator marks, and its final answer."""
    final = _FINAL_LINE.search(answer)
    if final is None:
        raise RowError("no_final_answer", "a gsm8k answer ends with a line '#### <answer>'")
    return _CALCULATOR_MARK.sub("", answer[: final.start()]).strip(), final.group(1)


def _generation(row: Row) -> str:
    """The first generation marked correct, or the first one where nothing is marked."""
    name = next((name for name in _GENERATION_FIELDS if row.get(name) is not None), None)
    if name is None:
        raise RowError("no_assistant_turn", f"none of the fields is filled: {', '.join(_GENERATION_FIELDS)}")
    found = row[name]
    if not isinstance(found, list):
        return read_text(found, name)
    if not found:
        raise RowError("no_assistant_turn", f"{name} is an empty list")
    marked = (row[field] for field in _CORRECTNESS_FIELDS if isinstance(row.get(field), list))
    marks: list[Any] = next(marked, [])
    best = next((index for index, mark in enumerate(marks[: len(found)]) if mark), 0)
    return read_text(found[best], name)


def _turns(row: Row, name: str) -> list[Any]:
    turns = row.get(name)
    if not isinstance(turns, list):
        raise RowError("no_messages", f"{name} is a list of turns; here it is {kind_of(turns)}")
    return turns


def _read_message(turn: object) -> Message:
    """Read one turn with role/content or from/value keys."""
    if not isinstance(turn, dict):
        raise RowError("message_not_text", f"a turn is an object; this one is {kind_of(turn)}")
    speaker = turn.get("role", turn.get("from"))
    role = _ROLES.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        raise RowError("unknown_role", f"role {speaker!r} is not one of {', '.join(sorted(_ROLES))}")
    calls = _read_tool_calls(turn)
    content = turn.get("content", turn.get("value"))
    if speaker == "function_call":
        calls, content = _read_function_call(read_text(content, "value")), ""
    text = "" if content is None and calls else read_text(content, "content")
    if role != "assistant":
        return Message(
            role, text, name=_given_name(turn), train="none" if turn.get("train") == "none" else "all"
        )
    return _assistant(text, _given_thought(turn), calls, turn)


def _assistant(
    text: str, thought: str | None = None, calls: list[Row] | None = None, turn: Row | None = None
) -> Message:
    """Make an assistant turn, splitting a thought that still stands in its text."""
    train = _given_train(turn or {})
    if thought is None:
        thought, answer = split_thought(text)
        if thought is not None and isinstance(train, list):
            raise RowError(
                "train_not_known",
                "train counts the characters of a thought that stands in a field of its own",
            )
        text = answer
    return Message("assistant", text, thought, calls, _given_name(turn or {}), train)


def _given_train(turn: Row) -> TrainedPart:
    train = turn.get("train", "all")
    try:
        return msgspec.convert(train, TrainedPart)
    except msgspec.ValidationError as error:
        raise RowError(
            "train_not_known",
            f"train is {str(train)[:80]!r}; it can be all, none, close_think or a list of "
            '{"part": "content", "start": 0, "end": 9}',
        ) from error


def _given_name(turn: Row) -> str | None:
    name = turn.get("name")
    return None if name is None else read_text(name, "name")


def _given_thought(turn: Row) -> str | None:
    for name in _THOUGHT_FIELDS:
        if turn.get(name) is not None:
            return read_text(turn[name], name)
    return None


def _read_tool_calls(turn: Row) -> list[Row] | None:
    calls = turn.get("tool_calls")
    if calls is None:
        return None
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise RowError("tool_call_not_json", f"tool_calls is a list of objects; here it is {kind_of(calls)}")
    return calls or None


def _read_function_call(value: str) -> list[Row]:
    """Read ShareGPT's `{"name": ..., "arguments": ...}` text as tool calls."""
    try:
        found = msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RowError("tool_call_not_json", f"function_call does not parse: {error}") from error
    calls = found if isinstance(found, list) else [found]
    if not all(isinstance(call, dict) and "name" in call for call in calls):
        raise RowError("tool_call_not_json", "function_call is an object with a name and arguments")
    return [{"type": "function", "function": call} for call in calls]


def _read_tools(tools: object) -> list[Row] | None:
    if not tools:
        return None
    if isinstance(tools, str):
        try:
            tools = msgspec.json.decode(tools)
        except (msgspec.DecodeError, RecursionError) as error:
            raise RowError("tools_not_json", f"tools does not parse: {error}") from error
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise RowError("tools_not_json", f"tools is a list of objects; here it is {kind_of(tools)}")
    return tools or None


def _read_task(row: Row, source: Source, layout: RowFormat) -> Task | None:
    """The row's own task, else the one that its form or the source asks for."""
    given = row.get("task")
    kind = given.get("kind") if isinstance(given, dict) else None
    try:
        if kind is not None:
            return msgspec.convert(given, Task)
        if layout in code_rows.CODE_LAYOUTS or source.task == "code":
            return code_rows.read_task(row, layout, source.answer_field)
    except ValueError as error:
        raise RowError("task_not_valid", f"task {kind or 'code'!r}: {error}") from error
    if layout == "gsm8k":
        return MathTask(_split_gsm8k(read_text(row.get("answer"), "answer"))[1], format="boxed")
    if source.task != "math":
        return None
    name = source.answer_field or "answer"
    answer = row.get(name)
    if answer is None or answer == "":
        return None
    return MathTask(str(answer) if isinstance(answer, int | float) else read_text(answer, name))


def _read_meta(row: Row, layout: RowFormat) -> Row:
    meta = row.get("meta")
    return dict(meta) if layout == "openai" and isinstance(meta, dict) else {}


def _read_label(row: Row, source: Source) -> Row:
    """The row's own word on its answer, for the table of agreement. Raises RowError `label_not_boolean`."""
    if source.label_field is None:
        return {}
    label = row.get(source.label_field)
    if not isinstance(label, bool):
        raise RowError(
            "label_not_boolean", f"{source.label_field} is true or false; here it is {kind_of(label)}"
        )
    return {LABEL: label}
