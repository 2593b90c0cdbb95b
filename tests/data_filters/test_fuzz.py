"""No row breaks the filter, and none is lost. HERMES_TRAIN_FUZZ_SECONDS=600 makes a long run of it."""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from data_filters.files import read_jsonl
from data_filters.formats import parse_row
from data_filters.pipeline import run_filter
from data_filters.row_fields import RowError
from data_filters.samples import Message, Sample
from data_filters.settings import (
    CodeSettings,
    ContaminationSettings,
    DataSettings,
    DuplicatesSettings,
    EngineSettings,
    NearDuplicatesSettings,
    Source,
    VerifySettings,
)

SECONDS = float(os.environ.get("HERMES_TRAIN_FUZZ_SECONDS", "20"))
SOURCE = Source(name="hostile", path="rows.jsonl", task="math")
HELD_OUT = [
    Sample("held-out", "test", [Message("user", "What is the sum of all the numbers from one to ten?")])
]

Place = tuple[str | int, ...]
"""A part of a row: the keys and positions that lead to it."""

HOSTILE_TEXTS = (
    "", " ", "\x00", "\ud800", "\u202e", "\u0663", "\uff15", "\r\n\r\n", "A", "NaN", "I cannot help.", "<|im_end|>",
    "<think>", "</think>", "<think></think>", "<think>a</think><think>b</think>c", "x" * 200_000, "a " * 50_000,
    "\\boxed{", "\\boxed{}", "\\boxed{" * 400, "}" * 400, "(" * 3000 + ")" * 3000, "\\frac" * 500, "9" * 5000,
    "10^{10^{10}}", "9^9^9^9", "1000000000!", "1e999999999", "-0", "#### ", "$$$$", "\\text{", "{1,2,...,5000}",
    "```python\n", "```python\nwhile True: pass\n```", "```python\nimport os; os._exit(0)\n```",
    "```python\nprint('x' * 10**8)\n```", "```json\n{\n```", "[" * 5000, '{"a":' * 2000, "^(a+)+$", "(?P<x>",
    "<tool_call>", "<tool_call>{}</tool_call>", '<tool_call>{"name": null}</tool_call>', "a" * 30 + "!",
)  # fmt: skip
HOSTILE_VALUES = (
    None, True, False, 0, -1, 10**400, 1e308, float("nan"), float("inf"), [], {}, [[]], {"": ""}, {"kind": "math"},
    [None], ["", 0],
)  # fmt: skip


def _conversation(
    answer: str, reasoning: str | None, task: dict[str, Any] | None, **more: Any
) -> dict[str, Any]:
    reply = {"role": "assistant", "content": answer} | (
        {"reasoning": reasoning} if reasoning is not None else {}
    )
    return {"messages": [{"role": "user", "content": "What is 6 * 7?"}, reply], "task": task} | more


_ADD = "```python\ndef add(a, b):\n    return a + b\n```"
_TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
SOUND_ROWS: tuple[dict[str, Any], ...] = (
    _conversation("The answer is $\\boxed{42}$.", "6 * 7 = 42", {"kind": "math", "answer": "42", "format": "boxed"}),
    _conversation("$\\boxed{x^2 + 2x + 1}$", None, {"kind": "math", "answer": "(x + 1)^2"}),
    _conversation("no commas here", "Fine.", {
        "kind": "instructions",
        "constraints": [
            {"id": "punctuation:no_comma", "kwargs": {}},
            {"id": "length_constraints:number_words", "kwargs": {"num_words": 2, "relation": "at least"}},
            {"id": "keywords:existence", "kwargs": {"keywords": ["here"]}},
            {"id": "language:response_language", "kwargs": {"language": "en"}},
        ],
    }),
    _conversation('{"a": 1}', None, {
        "kind": "json_schema",
        "schema": {"type": "object", "properties": {"a": {"type": "integer", "pattern": "^(a+)+$"}}, "required": ["a"]},
    }),
    _conversation('<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>', "Ask.", {
        "kind": "tool_calls", "calls": [{"name": "weather", "arguments": {"city": "Rome"}}],
    }, tools=[_TOOL]),
    _conversation("-1 2 3", "Sort.", {
        "kind": "puzzle", "dataset": "chain_sum", "entry": {"question": "2 + 2?", "answer": "4", "metadata": {}},
    }),
    _conversation("<answer>B</answer>", None, {"kind": "answer_format", "pattern": "<answer>[A-D]</answer>"}),
    _conversation(_ADD, "Add them.", {"kind": "code", "entry_point": "add", "tests": ["assert add(1, 2) == 3"]}),
    _conversation(_ADD, None, {"kind": "code", "entry_point": "add", "cases": [{"args": [1, 2], "expected": 3}]}),
    _conversation("```python\nprint(input())\n```", None, {"kind": "code", "io": [{"input": "x\n", "output": "x\n"}]}),
    {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "<think>Two.</think>4"}]},
    {"instruction": "Add.", "input": "2 and 2", "output": "4", "system": "", "history": [["Hi", "Hello"]]},
    {"problem": "2+2?", "generations": ["<think>Two and two.</think>4"], "answer": "4"},
    {"question": "2+2?", "answer": "2+2=<<2+2=4>>4\n#### 4"},
    {
        "id": "own/7", "source": "own", "meta": {"fault": "none"}, "tools": json.dumps([_TOOL]), "task": None,
        "messages": [
            {"role": "system", "content": "Be brief.", "name": "host"},
            {"role": "user", "content": [{"type": "text", "text": "Rome?"}], "name": "me", "train": "none"},
            {"role": "assistant", "content": None, "thinking": "Ask.", "train": "all", "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}},
            ]},
            {"role": "tool", "content": "Sunny.", "name": "weather"},
            {"role": "assistant", "content": "Sunny.", "reasoning_content": "Tell.", "train": "close_think"},
        ],
    },
    {"conversations": [
        {"from": "human", "value": "Rome?"},
        {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "Rome"}}'},
        {"from": "observation", "value": "Sunny."}, {"from": "gpt", "value": "Sunny."},
    ], "system": "Be brief.", "tools": json.dumps([_TOOL])},
    {"problem": "2+2?", "generations": ["5", "4"], "answer": 4, "correctness_math_verify": [False, True]},
    {"task_id": "HumanEval/0", "prompt": "def add(a, b):\n", "canonical_solution": "    return a + b\n",
     "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n", "entry_point": "add"},
)  # fmt: skip


def hostile_lines() -> st.SearchStrategy[bytes]:
    """One line of a file, without its line end: a sound, a changed or a torn row, any JSON value, or any bytes."""
    changed = st.builds(_changed, st.sampled_from(SOUND_ROWS), st.lists(_changes(), min_size=1, max_size=3))
    rows = st.one_of(st.sampled_from(SOUND_ROWS), changed, changed, changed)
    written = rows.map(lambda row: json.dumps(row).encode())
    torn = st.builds(lambda line, part: line[: int(len(line) * part)], written, st.floats(0, 1))
    values = st.recursive(
        st.one_of(st.text(max_size=20), st.integers(), st.floats(), st.booleans(), st.none()),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
        ),
    ).map(lambda value: json.dumps(value).encode())
    anything = st.binary(max_size=200).map(lambda line: line.replace(b"\n", b" "))
    return st.one_of(written, written, written, torn, values, anything)


def _changes() -> st.SearchStrategy[tuple[int, Any]]:
    """Which of a row's parts to replace, counted through all of them, and by what."""
    hostile = (*HOSTILE_TEXTS, *HOSTILE_VALUES)
    # By number, so that hypothesis does not print all of them with every failure.
    chosen = st.integers(0, len(hostile) - 1).map(lambda number: copy.deepcopy(hostile[number]))
    return st.tuples(
        st.integers(0, 200), st.one_of(chosen, chosen, st.text(max_size=60), st.integers(), st.floats())
    )


def _changed(row: dict[str, Any], changes: list[tuple[int, Any]]) -> dict[str, Any]:
    row = copy.deepcopy(row)
    for place, value in changes:
        paths = list(_paths(row))
        _replace(row, paths[place % len(paths)], value)
    return row


def _paths(value: Any, path: Place = ()) -> Iterator[Place]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _paths(inner, (*path, key))


def _replace(row: Any, path: Place, value: Any) -> None:
    for key in path[:-1]:
        row = row[key]
    row[path[-1]] = value


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(line=hostile_lines())
def test_a_hostile_row_is_read_as_a_sample_that_can_be_written_and_read_again(line: bytes) -> None:
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    try:
        sample = parse_row(row, SOURCE, 0)
    except RowError as error:
        assert error.reason.islower()
        return

    again = msgspec.json.decode(msgspec.json.encode(sample), type=Sample)

    assert again.id == sample.id
    assert msgspec.json.decode(msgspec.json.encode(again), type=Sample) == again


@pytest.mark.long
def test_every_hostile_row_is_kept_or_rejected_and_none_is_lost(tmp_path: Path) -> None:
    started = time.monotonic()
    rows = 0
    while rows == 0 or time.monotonic() - started < SECONDS:
        # One row is sound, since a source without any is refused as a whole.
        lines = [b'{"question": "1+1?", "answer": "#### 2"}', *_drawn(1_000)]
        (tmp_path / "rows.jsonl").write_bytes(b"\n".join(lines) + b"\n")

        _require_every_row(tmp_path, sum(1 for line in lines if line.strip()))

        rows += len(lines)
    print(f"{rows:,} rows in {time.monotonic() - started:.0f} s, all accounted for")  # noqa: T201 # a long run's figure


def _drawn(count: int) -> list[bytes]:
    """New lines at every call."""
    lines: list[bytes] = []
    collect = given(hostile_lines())(lambda line: lines.append(line))
    settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(collect)()
    return lines


def _require_every_row(folder: Path, wanted: int) -> None:
    data = DataSettings(
        sources=[Source(name="hostile", path=str(folder / "rows.jsonl"), task="math")],
        verify=VerifySettings(code=CodeSettings(seconds=0.2, wall_seconds=1)),
        duplicates=DuplicatesSettings(exact=True, near=NearDuplicatesSettings()),
        contamination=ContaminationSettings(),
        engine=EngineSettings(workers=2),
    )
    figures = run_filter(data, HELD_OUT, folder / "out")

    assert figures.read == wanted
    assert figures.kept + sum(figures.rejected.values()) == wanted
    for name, count in (("verdicts", wanted), ("kept", figures.kept), ("rejected", wanted - figures.kept)):
        assert sum(1 for _ in read_jsonl(folder / "out" / f"{name}.jsonl")) == count
