"""Rows that other rows decide on: the outcome is that of going through all rows in order, however they are cut."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_filters import buckets
from data_filters.figures import FilterFigures
from data_filters.files import read_jsonl, write_jsonl
from data_filters.pipeline import run_filter
from data_filters.settings import (
    ContaminationSettings,
    DataSettings,
    DuplicatesSettings,
    EngineSettings,
    MajoritySettings,
    NearDuplicatesSettings,
    Source,
    UnverifiedSettings,
    VerifySettings,
)

WORDS = [
    *("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"),
    *("india", "juliet", "kilo", "lima", "mike", "november", "oscar", "papa"),
]
LONG = " ".join(f"{first} {second}" for first in WORDS for second in WORDS[:3])


def row(prompt: str, answer: str, thought: str | None = None, task: str | None = None) -> dict[str, Any]:
    turns = [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": answer, "reasoning": thought},
    ]
    return {"messages": turns, "answer": task}


def run(folder: Path, rows: list[dict[str, Any]], tasks: int = 3, **sections: Any) -> FilterFigures:
    write_jsonl(folder / "rows.jsonl", rows)
    sections.setdefault("verify", VerifySettings(unverified=UnverifiedSettings(think="keep", direct="keep")))
    data = DataSettings(
        sources=[Source(name="r", path=str(folder / "rows.jsonl"), task="math")],
        engine=EngineSettings(tasks=tasks),
        **sections,
    )
    return run_filter(data, [], folder / "out")


def kept(folder: Path) -> list[int]:
    return [int(found["id"].removeprefix("r/")) for found in read_jsonl(folder / "out" / "kept.jsonl")]


def details(folder: Path) -> dict[str, str]:
    """What the last check says of each rejected row."""
    rejected = read_jsonl(folder / "out" / "rejected.jsonl")
    return {found["verdict"]["id"]: found["verdict"]["checks"][-1].get("detail", "") for found in rejected}


def orders(folder: Path) -> list[list[int]]:
    """The numbers of the rows in each output file, and those of verdicts."""
    out = folder / "out"
    rejected = [found["verdict"]["id"] for found in read_jsonl(out / "rejected.jsonl")]
    verdicts = [found["id"] for found in read_jsonl(out / "verdicts.jsonl")]
    return [[int(name.removeprefix("r/")) for name in names] for names in (rejected, verdicts)]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(1, 6))
def test_of_equal_rows_the_first_stays_and_is_named(
    tmp_path_factory: pytest.TempPathFactory, values: list[int], tasks: int
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    firsts = {value: number for number, value in reversed(list(enumerate(values)))}

    figures = run(folder, [row("Say it.", f"It is {value}.") for value in values], tasks)

    later = [number for number, value in enumerate(values) if firsts[value] != number]
    assert kept(folder) == sorted(firsts.values())
    assert orders(folder) == [later, list(range(len(values)))]
    assert details(folder) == {
        f"r/{number}": f"same conversation as r/{firsts[values[number]]}" for number in later
    }
    assert figures.sources["r"].rejected.get("duplicate_exact", 0) == len(later)
    assert figures.checks.get("duplicates", {}) == ({"refuted": len(later)} if later else {})


def test_records_in_many_buckets_give_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "RECORDS_PER_BUCKET", 3)

    run(tmp_path, [row("Say it.", f"It is {number % 17}.") for number in range(60)])

    assert kept(tmp_path) == list(range(17))


def test_several_traces_of_one_prompt_stay_and_by_prompt_only_the_first(tmp_path: Path) -> None:
    rows = [
        row("What is 6 * 7?", "It is 42."),
        row("What is 6 * 7?", "42, of course."),
        row("Another?", "It is 42."),
    ]

    run(tmp_path, rows)
    assert kept(tmp_path) == [0, 1, 2]

    run(tmp_path, rows, duplicates=DuplicatesSettings(by="prompt"))
    assert kept(tmp_path) == [0, 2]
    assert details(tmp_path) == {"r/1": "same prompt as r/0"}


NEAR = DuplicatesSettings(near=NearDuplicatesSettings(threshold=0.8))


def test_a_row_that_nearly_came_before_is_taken_out_with_the_share_and_the_text(tmp_path: Path) -> None:
    rows = [
        row("Tell me a story.", LONG),
        row("Tell me a story.", LONG.replace("kilo", "kilogram", 1)),
        row("Tell me a story.", "Quite another text, which has nothing in common with the first."),
    ]

    figures = run(tmp_path, rows, duplicates=NEAR)

    assert kept(tmp_path) == [0, 2]
    assert figures.rejected == {"duplicate_near": 1}
    assert details(tmp_path)["r/1"].startswith("shares 9")
    assert "% of the word runs of r/0, such as 'alpha alpha alpha bravo" in details(tmp_path)["r/1"]


def test_near_answers_to_different_prompts_and_different_answers_to_near_prompts_stay(tmp_path: Path) -> None:
    rows = [
        row("Tell me a story.", LONG),
        row("What are the words that pilots spell with?", LONG),
        row(LONG, "The first answer to it."),
        row(LONG + " zulu", "Something else altogether, in other words."),
    ]

    run(tmp_path, rows, duplicates=NEAR)

    assert kept(tmp_path) == [0, 1, 2, 3]


def test_problems_with_different_reference_answers_are_never_near(tmp_path: Path) -> None:
    asked = f"Think of these words: {LONG}. How many are there, if you add"
    rows = [row(f"{asked} 1?", "The sum is 3", task="3"), row(f"{asked} 2?", "The sum is 4", task="4")]
    by_prompt = DuplicatesSettings(by="prompt", near=NearDuplicatesSettings(threshold=0.8))

    run(tmp_path, rows, duplicates=by_prompt)
    assert kept(tmp_path) == [0, 1]

    run(tmp_path, [rows[0], row(f"{asked} 2?", "The sum is 3", task="3")], duplicates=by_prompt)
    assert kept(tmp_path) == [0]


def test_a_row_near_to_one_that_was_taken_out_stays_where_it_is_not_near_to_the_one_kept(
    tmp_path: Path,
) -> None:
    words = [f"word{number}" for number in range(200)]
    drifting = [
        " ".join([*(f"other{number}" for number in range(step)), *words[step:]]) for step in (0, 16, 32)
    ]

    run(tmp_path, [row("Go on.", text) for text in drifting], duplicates=NEAR)

    assert kept(tmp_path) == [0, 2]


@pytest.mark.parametrize("tasks", [1, 5])
def test_near_duplicates_do_not_depend_on_how_the_rows_are_cut(tmp_path: Path, tasks: int) -> None:
    texts = [LONG.replace("golf", f"golf{number % 7}", 1 + number % 2) for number in range(30)]

    run(tmp_path, [row("Go on.", text) for text in texts], tasks, duplicates=NEAR)

    assert kept(tmp_path) == [0]


MAJORITY = VerifySettings(majority=MajoritySettings(min_traces=3, min_share=0.5))


def traces(prompt: str, *answers: str) -> list[dict[str, Any]]:
    return [
        row(prompt, f"The answer is \\boxed{{{answer}}}.", f"Let me think, number {place}.")
        for place, answer in enumerate(answers)
    ]


def test_traces_without_a_reference_are_judged_by_the_majority_of_their_prompt(tmp_path: Path) -> None:
    rows = [
        *traces("How many?", "7", "8"),
        row("A chat", "Hello there."),
        *traces("And now?", "1", "2", "3"),
        row("How many?", "So the answer is \\boxed{7}.", "Another thought."),
        row("How many?", "The answer is \\boxed{7.0}.", "And one more."),
    ]

    figures = run(tmp_path, rows, tasks=4, verify=MAJORITY)

    assert kept(tmp_path) == [0, 2, 6, 7]
    assert orders(tmp_path) == [[1, 3, 4, 5], list(range(8))]
    assert figures.rejected == {"majority_disagrees": 1, "majority_none": 3}
    assert (figures.read, figures.kept, figures.rules) == (8, 4, {"majority_agrees": 3})
    verdicts = {found["id"]: found for found in read_jsonl(tmp_path / "out" / "verdicts.jsonl")}
    assert (verdicts["r/1"]["outcome"], verdicts["r/1"]["reason"]) == ("refuted", "majority_disagrees")
    assert [check["name"] for check in verdicts["r/1"]["checks"]].count("task") == 1


def test_an_undecided_majority_is_kept_where_unverified_thoughts_are(tmp_path: Path) -> None:
    keep = MAJORITY.model_copy(update={"unverified": UnverifiedSettings(think="keep")})

    run(tmp_path, traces("And now?", "1", "2", "3"), verify=keep)

    assert kept(tmp_path) == [0, 1, 2]


def test_a_trace_that_the_majority_keeps_can_still_be_a_duplicate(tmp_path: Path) -> None:
    rows = traces("How many?", "7", "7", "7") + traces("How many?", "7")

    figures = run(tmp_path, rows, verify=MAJORITY)

    assert kept(tmp_path) == [0, 1, 2]
    assert figures.rejected == {"duplicate_exact": 1}


def test_a_contaminated_trace_has_no_vote(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "held.jsonl", [{"problem": "How many?"}])
    held = ContaminationSettings(against=[str(tmp_path / "held.jsonl")])

    figures = run(tmp_path, traces("How many?", "7", "7", "7"), verify=MAJORITY, contamination=held)

    assert figures.rejected == {"contaminated_exact": 3}
