"""Conversations that say the same are found, whatever their ids and blanks."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from data_filters.duplicates import conversation_digest, prompt_digest
from data_filters.samples import Message, Sample


def sample(content: str, reasoning: str | None = None, name: str = "1", prompt: str = "2+2?") -> Sample:
    return Sample(name, "test", [Message("user", prompt), Message("assistant", content, reasoning)])


def test_ids_and_blanks_do_not_make_another_conversation() -> None:
    assert conversation_digest(sample("It is  4.\n", name="1")) == conversation_digest(
        sample("It is 4.", name="2")
    )


def test_case_thought_and_prompt_do() -> None:
    digests = {
        conversation_digest(row)
        for row in (sample("a"), sample("A"), sample("a", "b"), sample("a", ""), sample("a", prompt="3+3?"))
    }

    assert len(digests) == 5


@given(st.text(), st.text())
def test_text_that_moves_from_the_thought_to_the_answer_makes_another_conversation(
    first: str, second: str
) -> None:
    if (first.split(), second.split()) != (second.split(), first.split()):
        assert conversation_digest(sample(first, second)) != conversation_digest(sample(second, first))


@given(st.text())
def test_two_unicode_spellings_are_one_conversation(text: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))

    assert conversation_digest(sample(composed)) == conversation_digest(sample(decomposed))


def test_equal_prompts_have_equal_digests() -> None:
    assert prompt_digest([Message("user", "a ")]) == prompt_digest([Message("user", "a")])
    assert prompt_digest([Message("user", "a")]) != prompt_digest([Message("system", "a")])
