"""The glossary: what a row, a task, a verdict and a preference pair are.

One row of a sample file:

    {"id": "gsm8k/17", "source": "gsm8k",
     "messages": [{"role": "user", "content": "What is 6 * 7?"},
                  {"role": "assistant", "reasoning": "6 * 7 = 42", "content": "The answer is
                  $\\boxed{42}$."}],
     "tools": null, "task": {"kind": "math", "answer": "42"}, "meta": {}}
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, Literal

import msgspec

Role = Literal["system", "user", "assistant", "tool"]
"""Who speaks in a message."""


class TrainSpan(msgspec.Struct, frozen=True):
    """Characters [start, end) of a message's thought or text that are trained. The turn's end token is, too, where a
    span reaches the end of the text."""

    part: Literal["reasoning", "content"]
    start: int
    end: int


TrainedPart = Literal["all", "none", "close_think"] | list[TrainSpan]
"""What of a message is trained: all, nothing, only the closing of the thought and the end of the turn, or spans."""

PairKind = Literal["trace", "constraint", "refusal", "compliance"]
"""What tells the two sides of a preference pair apart."""


ENTRY_POINT = re.compile(r"[A-Za-z_]\w*(\(\))?(\.[A-Za-z_]\w*(\(\))?)*")
"""A name, its attributes, and calls without arguments."""


class Mode(StrEnum):
    """How an answer is given: after a written thought, or at once."""

    THINK = "think"
    DIRECT = "direct"


class Outcome(StrEnum):
    """What a check found. Always compare with a member: every member is truthy."""

    VERIFIED = "verified"
    REFUTED = "refuted"
    UNVERIFIED = "unverified"
    """No check applies to the row."""
    FAILED = "failed"
    """The check itself broke (time, memory, crash): says nothing about the answer."""


class Message(msgspec.Struct, omit_defaults=True):
    """One turn of a conversation."""

    role: Role
    content: str
    reasoning: str | None = None
    """The thought before the content, without its tags; None in direct mode."""
    tool_calls: list[dict[str, Any]] | None = None
    name: str | None = None
    train: TrainedPart = "all"


class MathTask(msgspec.Struct, tag_field="kind", tag="math", omit_defaults=True):
    """The answer must equal `answer` (LaTeX or text)."""

    answer: str
    format: str | None = None
    """The form the answer was asked in, such as "boxed"; None when any form will do."""


class PuzzleTask(msgspec.Struct, tag_field="kind", tag="puzzle", omit_defaults=True):
    """The answer must score full marks for `entry` of the reasoning-gym data set `dataset`."""

    dataset: str
    entry: dict[str, Any]
    format: str | None = None
    """The form the answer was asked in, such as "boxed"; None when any form will do."""


class Constraint(msgspec.Struct):
    """One IFEval instruction, such as id "punctuation:no_comma" with its arguments."""

    id: str
    kwargs: dict[str, Any] = msgspec.field(default_factory=dict)


class InstructionsTask(msgspec.Struct, tag_field="kind", tag="instructions"):
    """The answer must keep every constraint."""

    constraints: list[Constraint]


class JsonSchemaTask(msgspec.Struct, tag_field="kind", tag="json_schema", omit_defaults=True):
    """The answer must be JSON that fits `schema`."""

    schema: dict[str, Any] | bool
    draft: Literal["4", "6", "7", "2019-09", "2020-12"] | None = None
    """The draft of a schema that names none by `$schema`; None for 2020-12."""
    assert_formats: bool = False
    """Make `format` a rule of its own; the drafts from 2019-09 on only take it as a note."""
    format: str | None = None
    """The form the answer was asked in, such as "json_block"; None for JSON in any form."""


class AnswerFormatTask(msgspec.Struct, tag_field="kind", tag="answer_format", omit_defaults=True):
    """The answer must be in a named form or match a pattern; exactly one of the two is set."""

    pattern: str | None = None
    format: str | None = None


class CodeCase(msgspec.Struct, omit_defaults=True):
    """One call of the entry point, such as {"args": [[2, 7], 9], "expected": [0, 1]}."""

    expected: Any
    args: list[Any] = msgspec.field(default_factory=list)
    kwargs: dict[str, Any] = msgspec.field(default_factory=dict)


class InputOutput(msgspec.Struct):
    """One run of a whole program: what it reads from its standard input, and what it has to print."""

    input: str
    output: str


class CodeTask(msgspec.Struct, tag_field="kind", tag="code", omit_defaults=True):
    """The answer's program must pass `tests`, `cases` or `io`; exactly one of the three is set.

    Raises ValueError when it is not so, or when an entry point is no name or is missing beside `cases`.
    """

    entry_point: str | None = None
    """What the tests call: `add`, or a method by its class, `Solution().twoSum`. None with `tests` that call one
    name of the answer by themselves."""
    tests: str | list[str] | None = None
    """Assert lines or a program that holds them; where it calls nothing by itself, its `check(candidate)`."""
    cases: list[CodeCase] | None = None
    io: list[InputOutput] | None = None
    setup: str = ""
    """Definitions that the prompt gives and that answer and tests may use, such as a class of tree nodes."""
    tolerance: float | None = None
    """How far numbers may be off, absolutely and relatively, in `cases` and `io`; None for not at all."""
    language: str = "python"

    def __post_init__(self) -> None:
        given = [name for name in ("tests", "cases", "io") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(
                f"a code task needs exactly one of tests, cases, io; it has {' and '.join(given) or 'none'}"
            )
        if self.entry_point is not None and not ENTRY_POINT.fullmatch(self.entry_point):
            raise ValueError(
                f"entry_point is a name such as add or Solution().twoSum; it is {self.entry_point[:80]!r}"
            )
        if self.cases and self.entry_point is None:
            raise ValueError("a code task with cases needs an entry_point")
        if self.tolerance is not None and not self.tolerance >= 0:
            raise ValueError(f"tolerance is a number from 0 on; it is {self.tolerance}")


class ToolCallsTask(msgspec.Struct, tag_field="kind", tag="tool_calls", omit_defaults=True):
    """The answer must make these calls and no others.

    A call is {"name", "arguments"}, or {"name", "accepted": {argument: [accepted values]}} where several values
    will do and "" among them lets the argument be left out.
    """

    calls: list[dict[str, Any]]
    ordered: bool = False
    """The calls must come in this order; parallel calls may come in any."""
    loose_text: bool = False
    """Compare texts without case, blanks and light punctuation."""


Task = MathTask | PuzzleTask | InstructionsTask | JsonSchemaTask | AnswerFormatTask | CodeTask | ToolCallsTask
"""How the last assistant turn of a sample can be checked; the field `kind` tells the variants apart."""


class Sample(msgspec.Struct):
    """One conversation, and how its last assistant turn can be checked."""

    id: str
    source: str
    messages: list[Message]
    tools: list[dict[str, Any]] | None = None
    task: Task | None = None
    meta: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def answer_index(self) -> int:
        """Index of the last assistant message. Raises ValueError when no assistant speaks."""
        for index in range(len(self.messages) - 1, -1, -1):
            if self.messages[index].role == "assistant":
                return index
        raise ValueError(f"sample {self.id!r} has no assistant turn")

    @property
    def answer(self) -> Message:
        """The last assistant message. Raises ValueError when no assistant speaks."""
        return self.messages[self.answer_index]

    @property
    def prompt(self) -> list[Message]:
        """The messages before the last assistant turn; all of them when no assistant speaks."""
        if not any(message.role == "assistant" for message in self.messages):
            return list(self.messages)
        return self.messages[: self.answer_index]

    @property
    def mode(self) -> Mode:
        """THINK when the last assistant turn has a thought, else DIRECT. Raises ValueError without a turn."""
        return Mode.DIRECT if self.answer.reasoning is None else Mode.THINK


TASK = "task"
"""The name of the check that holds an answer against its task; it decides what is verified."""


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one check found. `reason` is a stable slug; `detail` is for people and may change."""

    name: str
    outcome: Outcome
    reason: str
    detail: str = ""


class Verdict(msgspec.Struct):
    """What all checks together say about one row; `seconds` is the time they took."""

    id: str
    outcome: Outcome
    reason: str
    checks: list[Check] = msgspec.field(default_factory=list)
    seconds: float = 0.0


class Pair(msgspec.Struct):
    """Two answers to one prompt, of which the first is to be preferred."""

    id: str
    kind: PairKind
    mode: Mode
    prompt: list[Message]
    chosen: Message
    rejected: Message
    tools: list[dict[str, Any]] | None = None
