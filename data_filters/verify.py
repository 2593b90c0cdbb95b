"""Sample -> Verdict: the thought's form, the task, the asked form of the answer, the thought's own sums."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from data_filters.formats import CLOSING_TAG, split_thought
from data_filters.samples import (
    TASK,
    AnswerFormatTask,
    Check,
    CodeTask,
    InstructionsTask,
    JsonSchemaTask,
    MathTask,
    Message,
    Mode,
    Outcome,
    PuzzleTask,
    Sample,
    Task,
    ToolCallsTask,
    Verdict,
)
from data_filters.settings import KeepOrDrop, TaskName, UnverifiedSettings, VerifySettings
from data_filters.verifiers import (
    answer_format,
    code,
    consistency,
    instructions,
    json_schema,
    puzzles,
    refusals,
    think_format,
    tool_calls,
)
from data_filters.verifiers.math import answers as math_check

if TYPE_CHECKING:
    from pathlib import Path

    from data_filters.figures import FilterFigures

THINK_FORM = think_format.CHECK_NAME
ANSWER_FORM = "answer_form"
CONSISTENCY = consistency.CHECK_NAME

DISPUTED_REASONS = frozenset({"math_comparators_disagree"})
"""Reasons of unverified rows that checks do apply to, but contradict each other."""

Timings = dict[str, float]


def verify(sample: Sample, settings: VerifySettings, timings: Timings | None = None) -> Verdict:
    """Judge a sample's last assistant turn.

    The checks `think_form`, `task`, `answer_form`, `refusal` and, for thoughts, `consistency` run in this order and
    stop at the first that is refuted or failed: its outcome and reason are the verdict's. Verified when the task's
    check is. `refusal` runs only where refusals of harmless prompts are dropped and no result shows that the request
    was fulfilled. `timings`, where given, takes up the seconds of each check by name. Raises ValueError without an
    assistant turn.
    """
    answer = sample.answer

    def checks() -> Iterator[Callable[[], Check]]:
        yield lambda: think_format.check(sample, settings.think)
        yield lambda: _check_task(sample, answer, settings)
        yield from _asked_form(sample.task, answer.content)
        if settings.refusals.harmless == "drop" and not refusals.is_fulfilled_by(sample.task):
            yield lambda: refusals.check(sample, answer.content, settings.refusals.right_for)
        if answer.reasoning is not None:
            yield lambda: _check_consistency(sample.task, answer.content, answer.reasoning or "")

    return _judge(sample.id, checks(), timings, stop_early=True)


def verify_text(
    sample: Sample, text: str, mode: Mode, settings: VerifySettings, timings: Timings | None = None
) -> Verdict:
    """Judge a generated raw text as the answer to a sample's prompt, in the mode that was asked.

    The messages of `sample` after its prompt do not matter; an assistant turn may be missing. All of the
    checks `think_form`, `task` and `answer_form` are run and can be read from the verdict; `answer_form` is
    there only when the task asks for a form. A thought that is not closed leaves no answer to check: what
    follows is judged on "".
    """
    thought, content = _raw_parts(text, mode)

    def checks() -> Iterator[Callable[[], Check]]:
        yield lambda: think_format.check_text(text, mode, settings.think, think_format.last_prompt(sample))
        yield lambda: _check_task(sample, Message("assistant", content, thought), settings)
        yield from _asked_form(sample.task, content)

    return _judge(sample.id, checks(), timings, stop_early=False)


def verify_files(
    files: list[Path],
    out: Path,
    workers: int = 1,
    settings: VerifySettings | None = None,
    task: TaskName = "math",
    label_field: str | None = None,
) -> FilterFigures:
    """Verify the rows of files and write verdicts.jsonl, kept.jsonl and rejected.jsonl into `out`.

    Runs the same pipeline as a recipe's filter stage, with duplicates left in. `task` is the kind of task of rows
    that name none; `label_field` is held against the verdicts. Returns the figures. Raises UserError for files that
    cannot be read and for an `out` that holds anything else.
    """
    from data_filters.errors import UserError
    from data_filters.pipeline import run_filter
    from data_filters.settings import DataSettings, DuplicatesSettings, EngineSettings, Source

    if not files:
        raise UserError("no file to verify; name one or more .jsonl, .json or .parquet files")
    if workers < 1:
        raise UserError(f"workers is {workers}; at least 1 is needed")
    _require_own_folder(out)
    names = _unique_names([file.name for file in files])
    sources = [
        Source(name=name, path=str(file), task=task, label_field=label_field)
        for name, file in zip(names, files, strict=True)
    ]
    data = DataSettings(
        sources=sources,
        verify=settings or VerifySettings(),
        duplicates=DuplicatesSettings(exact=False),
        engine=EngineSettings(workers=workers),
    )
    return run_filter(data, [], out, None)


def is_kept(sample: Sample, verdict: Verdict, settings: VerifySettings) -> bool:
    """Whether a sample goes on: verified ones do, unverified ones as the settings say for them."""
    if verdict.outcome == Outcome.UNVERIFIED:
        return _choice_for_unverified(sample, verdict, settings.unverified) == "keep"
    return verdict.outcome == Outcome.VERIFIED


def _choice_for_unverified(sample: Sample, verdict: Verdict, settings: UnverifiedSettings) -> KeepOrDrop:
    if verdict.reason in DISPUTED_REASONS:
        return settings.disputed
    return settings.think if sample.mode == Mode.THINK else settings.direct


def _judge(
    name: str, checks: Iterator[Callable[[], Check]], timings: Timings | None, stop_early: bool
) -> Verdict:
    """Run checks in order; the first refuted or failed one decides, else the check named `task`."""
    done: list[Check] = []
    deciding: Check | None = None
    started = time.perf_counter()
    for run in checks:
        before = time.perf_counter()
        found = run()
        if timings is not None:
            timings[found.name] = timings.get(found.name, 0.0) + time.perf_counter() - before
        done.append(found)
        if deciding is None and found.outcome in (Outcome.REFUTED, Outcome.FAILED):
            deciding = found
            if stop_early:
                break
    last = deciding or next(check for check in done if check.name == TASK)
    return Verdict(name, last.outcome, last.reason, done, round(time.perf_counter() - started, 6))


def _asked_form(task: Task | None, content: str) -> Iterator[Callable[[], Check]]:
    """The check of the form that an answer was asked in, if it was asked in one."""
    match task:
        case MathTask(format=str(form)) | PuzzleTask(format=str(form)):
            yield lambda: answer_format.check_named(form, content, ANSWER_FORM)
        case JsonSchemaTask():
            yield lambda: answer_format.check_named(task.format or "json", content, ANSWER_FORM)
        case AnswerFormatTask():
            yield lambda: answer_format.check(task, content, ANSWER_FORM)


def _check_task(sample: Sample, answer: Message, settings: VerifySettings) -> Check:
    task, content = sample.task, answer.content
    match task:
        case None:
            return Check(TASK, Outcome.UNVERIFIED, "no_task")
        case MathTask():
            return math_check.check(task, content, answer.reasoning, settings)
        case PuzzleTask():
            return puzzles.check(task, content, settings.guard_seconds)
        case InstructionsTask():
            return instructions.check(task, content, settings.instructions.reading)
        case JsonSchemaTask():
            return json_schema.check(task, content, settings.guard_seconds)
        case AnswerFormatTask():
            return answer_format.check(task, content, TASK)
        case CodeTask():
            return code.check(task, content, settings.code, settings.sandbox.require)
        case ToolCallsTask():
            return tool_calls.check(task, answer, sample.tools, settings.guard_seconds)


def _check_consistency(task: Task | None, content: str, thought: str) -> Check:
    """Hold a thought against itself, and for math against the answer."""
    return consistency.check(thought, content if isinstance(task, MathTask) else None)


def _raw_parts(text: str, mode: Mode) -> tuple[str | None, str]:
    """The thought and the answer of a raw text; an unclosed thought is all thought."""
    thought, content = split_thought(text)
    if thought is not None:
        return thought, content
    if CLOSING_TAG in text:
        before, _, after = text.rpartition(CLOSING_TAG)
        return before, after
    if text.lstrip().startswith("<think>"):
        return text, ""
    return None, content


def _require_own_folder(out: Path) -> None:
    """Raise UserError unless `out` is absent, empty, or holds what an earlier run left."""
    from data_filters.errors import UserError
    from data_filters.pipeline import is_own_entry

    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give a folder for the results")
    strange = (
        sorted(entry.name for entry in out.iterdir() if not is_own_entry(entry.name)) if out.is_dir() else []
    )
    if strange:
        raise UserError(f"{out} holds other files ({', '.join(strange[:3])}); give a new or empty folder")


def _unique_names(names: list[str]) -> list[str]:
    """File names as source names: no blanks, and numbered where two files share a name."""
    plain = ["_".join(name.split()) for name in names]
    return [name if plain.count(name) == 1 else f"{index + 1}-{name}" for index, name in enumerate(plain)]
