"""Held-out problems are kept out of training, phrases of the trade are not mistaken for them."""

from pathlib import Path

import pytest

from data_filters.contamination import HeldOut, build_index, check, held_out_problems, prompt_text
from data_filters.errors import UserError
from data_filters.files import write_jsonl
from data_filters.samples import Message, Sample
from data_filters.settings import ContaminationSettings

SETTINGS = ContaminationSettings(ngram=4, overlap=0.5)
ENDING = "Express your answer as a fraction in lowest terms please."
PROBLEMS = (
    HeldOut("bench/0", f"A farmer has seven brown cows and buys three more at the fair. {ENDING}"),
    HeldOut("bench/1", f"Each of nine ships carries a crew of forty sailors to the island. {ENDING}"),
    HeldOut("bench/2", "2 + 5 = ?"),
)


def found(prompt: str, settings: ContaminationSettings = SETTINGS) -> tuple[str, str]:
    sample = Sample(
        "1", "test", [Message("system", "Be brief."), Message("user", prompt), Message("assistant", "4")]
    )
    result = check(sample, build_index(PROBLEMS, settings.ngram), settings)
    return result.reason, result.detail


def test_the_same_prompt_is_found_whatever_its_case_and_blanks() -> None:
    reason, detail = found(PROBLEMS[0].prompt.upper().replace(" ", "  "))

    assert reason == "contaminated_exact"
    assert "bench/0" in detail


def test_a_prompt_that_takes_over_most_of_a_problem_is_found_with_the_shared_words() -> None:
    reason, detail = found(
        "Think hard! A farmer has seven brown cows and buys three more at the fair. How many?"
    )

    assert reason == "contaminated_overlap"
    assert "bench/0" in detail
    assert "a farmer has seven" in detail


def test_a_problem_inside_a_long_prompt_is_found() -> None:
    filler = " ".join(f"word{number}" for number in range(300))

    assert found(f"{filler} {PROBLEMS[1].prompt}")[0] == "contaminated_overlap"


def test_a_phrase_that_several_problems_share_says_nothing() -> None:
    assert found(f"How many legs do six spiders have in all? {ENDING}")[0] == "contamination_none"


def test_a_few_shared_words_are_below_the_overlap() -> None:
    prompt = "A farmer has seven sheep, of which four are old and two have gone astray in the hills."

    assert found(prompt)[0] == "contamination_none"


def test_a_short_prompt_is_compared_as_a_whole_only() -> None:
    assert found("2 + 5 = ?")[0] == "contaminated_exact"
    assert found("2 - 5 = ?")[0] == "contamination_none"
    assert found("seven brown cows")[0] == "contamination_none"


def test_a_problem_given_twice_is_still_found() -> None:
    index = build_index((PROBLEMS[0], HeldOut("copy/0", PROBLEMS[0].prompt)), 4)
    prompt = PROBLEMS[0].prompt.replace("seven", "7")

    result = check(Sample("1", "t", [Message("user", prompt), Message("assistant", "4")]), index, SETTINGS)

    assert result.reason == "contaminated_overlap"


def test_held_out_problems_come_from_samples_and_from_benchmark_files(tmp_path: Path) -> None:
    sample = Sample("held/0", "held", [Message("system", "S"), Message("user", "A?")])
    write_jsonl(
        tmp_path / "b.jsonl",
        [
            {"problem": "B?", "answer": "1"},
            {"conversations": [{"from": "human", "value": "C?"}, {"from": "gpt", "value": "c"}]},
        ],
    )

    problems = held_out_problems([sample], [str(tmp_path / "b.jsonl")])

    assert problems == (HeldOut("held/0", "A?"), HeldOut("b.jsonl/0", "B?"), HeldOut("b.jsonl/1", "C?"))


@pytest.mark.parametrize("line", ['{"level": 5}', "no json"])
def test_a_benchmark_row_without_a_problem_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "b.jsonl").write_text(line + "\n")

    with pytest.raises(UserError, match="held-out problems"):
        held_out_problems([], [str(tmp_path / "b.jsonl")])


def test_only_what_the_user_says_is_the_prompt() -> None:
    assert prompt_text([Message("system", "S"), Message("user", "A"), Message("user", "B")]) == "A\nB"
