"""The form of the thought: it opens first, closes once, is not empty, and leaves no tag in the answer."""

from __future__ import annotations

from collections import Counter

from data_filters.formats import CLOSING_TAG, OPENING_TAG, has_think_tag
from data_filters.samples import Check, Mode, Outcome, Sample
from data_filters.settings import ThinkSettings

CHECK_NAME = "think_form"
_RUN_LENGTH = 8


def check(sample: Sample, settings: ThinkSettings) -> Check:
    """Judge the form of a sample's last assistant turn.

    A raw text with think tags in it is judged like generated text. Verified with reason `think_ok`, else
    refuted.
    """
    answer = sample.answer
    if answer.reasoning is None:
        mode = Mode.THINK if has_think_tag(answer.content) else Mode.DIRECT
        return check_text(answer.content, mode, settings, may_be_empty=bool(answer.tool_calls))
    return _judge_parts(answer.reasoning, answer.content, settings, may_be_empty=bool(answer.tool_calls))


def check_text(text: str, mode: Mode, settings: ThinkSettings, may_be_empty: bool = False) -> Check:
    """Judge the form of a raw text that was to be written in `mode`.

    `may_be_empty` allows an empty answer, for turns that call tools. Verified with reason `think_ok`, else
    refuted.
    """
    if mode == Mode.DIRECT:
        if has_think_tag(text):
            return _refuted("think_in_direct_mode", "an answer without a thought has no think tags")
        return _judge_answer(text, may_be_empty)
    body = text.lstrip()
    if not body.startswith(OPENING_TAG):
        return _refuted("think_unopened", f"the text starts {body[:40]!r}, not with {OPENING_TAG}")
    thought, closing, answer = body[len(OPENING_TAG) :].partition(CLOSING_TAG)
    if not closing:
        return _refuted("think_unclosed", f"no {CLOSING_TAG} follows in {len(body)} characters")
    return _judge_parts(thought, answer, settings, may_be_empty)


def repeated_share(text: str) -> float:
    """The share of the 8-word runs in `text` that occurred before in it; 0 for a shorter text."""
    words = text.split()
    runs = Counter(tuple(words[start : start + _RUN_LENGTH]) for start in range(len(words) - _RUN_LENGTH + 1))
    total = sum(runs.values())
    return 1 - len(runs) / total if total else 0.0


def _judge_parts(thought: str, answer: str, settings: ThinkSettings, may_be_empty: bool) -> Check:
    if has_think_tag(thought) or (OPENING_TAG in answer and CLOSING_TAG in answer):
        return _refuted("think_twice", "a second thought is opened")
    if len(thought.strip()) < settings.min_characters:
        found = len(thought.strip())
        return _refuted(
            "think_empty", f"the thought has {found} characters; at least {settings.min_characters}"
        )
    if has_think_tag(answer):
        return _refuted("think_tag_in_answer", "a think tag stands in the answer")
    limit = settings.max_repeated_ngram_share
    if limit is not None and (share := repeated_share(thought)) > limit:
        return _refuted("think_repeats", f"{share:.0%} of the 8-word runs are repeats; at most {limit:.0%}")
    return _judge_answer(answer, may_be_empty)


def _judge_answer(answer: str, may_be_empty: bool) -> Check:
    if not answer.strip() and not may_be_empty:
        return _refuted("answer_empty", "nothing follows the thought or the prompt")
    return Check(CHECK_NAME, Outcome.VERIFIED, "think_ok")


def _refuted(reason: str, detail: str) -> Check:
    return Check(CHECK_NAME, Outcome.REFUTED, reason, detail)
