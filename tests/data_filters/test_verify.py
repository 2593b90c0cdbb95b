"""A sample's verdict names the first thing that is wrong, and a broken check refutes nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from data_filters.errors import UserError
from data_filters.files import read_jsonl, write_jsonl
from data_filters.samples import (
    AnswerFormatTask,
    CodeTask,
    Constraint,
    InstructionsTask,
    JsonSchemaTask,
    MathTask,
    Message,
    Mode,
    Outcome,
    Sample,
    Task,
    ToolCallsTask,
    Verdict,
)
from data_filters.settings import UnverifiedSettings, VerifySettings
from data_filters.verify import is_kept, verify, verify_files, verify_text

SETTINGS = VerifySettings()
BOXED = MathTask("4", format="boxed")
RIGHT = r"The answer is $\boxed{4}$."


def sample(content: str, reasoning: str | None = None, task: Task | None = None) -> Sample:
    return Sample("1", "test", [Message("user", "2+2?"), Message("assistant", content, reasoning)], task=task)


@pytest.mark.parametrize(
    ("row", "outcome", "reason"),
    [
        (sample(RIGHT, "2 + 2 = 4", BOXED), Outcome.VERIFIED, "math_correct_exact"),
        (sample(RIGHT, None, BOXED), Outcome.VERIFIED, "math_correct_exact"),
        (sample(r"\boxed{5}", "2 + 2 = 5", BOXED), Outcome.REFUTED, "math_wrong_answer"),
        (sample(RIGHT, "2 + 2 = 5", BOXED), Outcome.REFUTED, "thought_wrong_step"),
        (sample("<think>2 + 2", None, BOXED), Outcome.REFUTED, "think_unclosed"),
        (sample("See above.", r"\boxed{4}", BOXED), Outcome.REFUTED, "math_answer_only_in_thought"),
        (sample("It is 4.", None, BOXED), Outcome.REFUTED, "format_broken"),
        (sample("It is 4.", None, MathTask("4")), Outcome.VERIFIED, "math_correct_exact"),
        (sample(r"\boxed{9^9^9^9}", None, BOXED), Outcome.FAILED, "math_too_large"),
        (sample("Hello", None, None), Outcome.UNVERIFIED, "no_task"),
        (sample("Hello", "Hm, 1 + 1 = 3", None), Outcome.REFUTED, "thought_wrong_step"),
        (
            sample("def f(): ...", None, CodeTask("g", tests="assert g() is None")),
            Outcome.REFUTED,
            "code_no_entry_point",
        ),
        (sample("{}", None, ToolCallsTask([])), Outcome.VERIFIED, "tool_calls_correct"),
        (
            sample("{}", None, ToolCallsTask([{"name": "f", "arguments": {}}])),
            Outcome.REFUTED,
            "tool_calls_missing",
        ),
        (sample("{}", None, JsonSchemaTask({"type": "object"})), Outcome.VERIFIED, "json_valid"),
        (sample(RIGHT, None, AnswerFormatTask(format="boxed")), Outcome.VERIFIED, "format_kept"),
        (
            sample("a, b", None, InstructionsTask([Constraint("punctuation:no_comma")])),
            Outcome.REFUTED,
            "instruction_broken:punctuation:no_comma",
        ),
    ],
)
def test_a_sample_is_judged_with_a_stable_reason(row: Sample, outcome: Outcome, reason: str) -> None:
    verdict = verify(row, SETTINGS)

    assert (verdict.outcome, verdict.reason) == (outcome, reason)
    assert verdict.id == "1"
    assert verdict.seconds > 0


def test_the_checks_stop_at_the_first_that_refutes() -> None:
    verdict = verify(sample("<think>2 + 2", None, BOXED), SETTINGS)

    assert [check.name for check in verdict.checks] == ["think_form"]


def test_the_seconds_of_each_check_are_taken_up() -> None:
    seconds: dict[str, float] = {}

    verify(sample(RIGHT, "2 + 2 = 4", BOXED), SETTINGS, seconds)

    assert set(seconds) == {"think_form", "task", "answer_form", "consistency"}


def outcomes(text: str, mode: Mode, task: Task | None = BOXED) -> dict[str, Any]:
    prompt = Sample("1", "test", [Message("user", "2+2?")], task=task)
    return {check.name: check.outcome.value for check in verify_text(prompt, text, mode, SETTINGS).checks}


@pytest.mark.parametrize(
    ("text", "mode", "expected"),
    [
        ("<think>Two.</think>" + RIGHT, Mode.THINK, ("verified", "verified", "verified")),
        (RIGHT, Mode.DIRECT, ("verified", "verified", "verified")),
        (RIGHT, Mode.THINK, ("refuted", "verified", "verified")),
        ("<think>Two.</think>" + RIGHT, Mode.DIRECT, ("refuted", "verified", "verified")),
        ("<think>So " + RIGHT, Mode.THINK, ("refuted", "refuted", "refuted")),
        ("<think>Two.</think>It is 4", Mode.THINK, ("verified", "verified", "refuted")),
        ("<think>Two.</think>\\boxed{5}", Mode.THINK, ("verified", "refuted", "verified")),
    ],
)
def test_each_check_of_a_generated_text_can_be_read(
    text: str, mode: Mode, expected: tuple[str, str, str]
) -> None:
    found = outcomes(text, mode)

    assert (found["think_form"], found["task"], found["answer_form"]) == expected


def test_a_generated_text_is_not_verified_when_only_its_form_is_wrong() -> None:
    prompt = Sample("1", "test", [Message("user", "2+2?")], task=BOXED)

    assert verify_text(prompt, RIGHT, Mode.THINK, SETTINGS).reason == "think_unopened"


def test_unverified_rows_go_on_as_the_settings_say_for_their_mode() -> None:
    unverified = Verdict("1", Outcome.UNVERIFIED, "no_task")
    keep_all = VerifySettings(unverified=UnverifiedSettings(think="keep", direct="keep"))

    assert is_kept(sample("a"), unverified, SETTINGS)
    assert not is_kept(sample("a", "b"), unverified, SETTINGS)
    assert is_kept(sample("a", "b"), unverified, keep_all)
    assert not is_kept(sample("a"), Verdict("1", Outcome.FAILED, "math_timeout"), keep_all)


def write_rows(file: Path, answers: list[str]) -> None:
    rows = [
        {
            "id": f"mine/{number}",
            "source": "mine",
            "messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": answer}],
            "task": {"kind": "math", "answer": "4"},
        }
        for number, answer in enumerate(answers)
    ]
    write_jsonl(file, rows)


def test_files_are_verified_into_three_files_and_duplicates_are_left_in(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", ["4", "5", "4"])

    figures = verify_files([tmp_path / "rows.jsonl"], tmp_path / "out", 1, SETTINGS)

    assert (figures.read, figures.kept, figures.rejected) == (3, 2, {"math_wrong_answer": 1})
    assert [row["id"] for row in read_jsonl(tmp_path / "out" / "verdicts.jsonl")] == [
        "mine/0",
        "mine/1",
        "mine/2",
    ]
    assert [row["id"] for row in read_jsonl(tmp_path / "out" / "kept.jsonl")] == ["mine/0", "mine/2"]
    (rejected,) = read_jsonl(tmp_path / "out" / "rejected.jsonl")
    assert rejected["sample"]["id"] == "mine/1"
    assert rejected["verdict"]["reason"] == "math_wrong_answer"


def test_two_files_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_rows(tmp_path / folder / "my rows.jsonl", ["4"])

    files = [tmp_path / folder / "my rows.jsonl" for folder in ("a", "b")]

    assert set(verify_files(files, tmp_path / "out").sources) == {"1-my_rows.jsonl", "2-my_rows.jsonl"}


def test_labels_are_held_against_verdicts_and_decide_nothing(tmp_path: Path) -> None:
    rows = [("4", True), ("5", False), ("5", True), ("4", False), ("4", "yes")]
    (tmp_path / "rows.jsonl").write_text(
        "".join(
            json.dumps({"problem": "2+2?", "solution": rf"\boxed{{{given}}}", "answer": "4", "right": label})
            + "\n"
            for given, label in rows
        )
    )

    figures = verify_files([tmp_path / "rows.jsonl"], tmp_path / "out", label_field="right")

    found = figures.labels["rows.jsonl"]
    assert found.right == {"verified": 1, "refuted": 1}
    assert found.wrong == {"verified": 1, "refuted": 1}
    assert [row.id for row in figures.label_disputes] == ["rows.jsonl/2", "rows.jsonl/3"]
    assert (figures.kept, figures.rejected) == (2, {"math_wrong_answer": 2, "label_not_boolean": 1})


def test_a_disputed_row_is_dropped_where_direct_rows_without_a_check_are_kept() -> None:
    row, disputed = sample(RIGHT), Verdict("1", Outcome.UNVERIFIED, "math_comparators_disagree")

    assert not is_kept(row, disputed, SETTINGS)
    assert is_kept(row, Verdict("1", Outcome.UNVERIFIED, "no_task"), SETTINGS)
    assert is_kept(row, disputed, VerifySettings(unverified=UnverifiedSettings(disputed="keep")))


def test_a_second_run_into_the_same_folder_replaces_the_first(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", ["4", "5"])
    verify_files([tmp_path / "rows.jsonl"], tmp_path / "out")
    write_rows(tmp_path / "rows.jsonl", ["4"])

    assert verify_files([tmp_path / "rows.jsonl"], tmp_path / "out").read == 1
    assert len(list(read_jsonl(tmp_path / "out" / "verdicts.jsonl"))) == 1


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", ["4"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")

    with pytest.raises(UserError, match=r"holds other files \(thesis\.tex\)"):
        verify_files([tmp_path / "rows.jsonl"], tmp_path / "out")

    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_no_file_and_no_worker_are_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file to verify"):
        verify_files([], tmp_path / "out")
    with pytest.raises(UserError, match="workers is 0"):
        verify_files([tmp_path / "rows.jsonl"], tmp_path / "out", 0)
    with pytest.raises(UserError, match="there is no file"):
        verify_files([tmp_path / "gone.jsonl"], tmp_path / "out")
