"""The form of the thought: it opens first, closes once, is neither empty, endless nor in circles, and ends its turn.

No tag of the thought stands in the answer, and no token that ends a turn stands in either of them.
"""

from __future__ import annotations

import re

from data_filters.formats import CLOSING_TAG, OPENING_TAG, has_think_tag
from data_filters.samples import Check, Mode, Outcome, Sample
from data_filters.settings import ThinkSettings
from data_filters.verifiers.thought_language import SAME_AS_PROMPT, other_language
from data_filters.verifiers.thought_loops import find_loop, repeated_share

CHECK_NAME = "think_form"
_END_TOKEN = re.compile(
    r"<\|(?:im_end|im_start|eot_id|eom_id|end_of_text|begin_of_text|endoftext|start_header_id|end|return)\|>"
    r"|<(?:end|start)_of_turn>|<\uff5cend\u2581of\u2581sentence\uff5c>"
)
"""Tokens that end or begin a turn in the common chat templates. Text after one is never seen in use."""


def check(sample: Sample, settings: ThinkSettings) -> Check:
    """Judge the form of a sample's last assistant turn.

    A raw text with think tags in it is judged like generated text. Verified with reason `think_ok`, else
    refuted.
    """
    answer = sample.answer
    prompt = last_prompt(sample) if settings.language == SAME_AS_PROMPT else ""
    may_be_empty = bool(answer.tool_calls)
    if answer.reasoning is None:
        mode = Mode.THINK if has_think_tag(answer.content) else Mode.DIRECT
        return check_text(answer.content, mode, settings, prompt, may_be_empty)
    return _judge_parts(answer.reasoning, answer.content, settings, prompt, may_be_empty)


def check_text(
    text: str, mode: Mode, settings: ThinkSettings, prompt: str = "", may_be_empty: bool = False
) -> Check:
    """Judge the form of a raw text that was to be written in `mode`, as the answer to `prompt`.

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
    return _judge_parts(thought, answer, settings, prompt, may_be_empty)


def last_prompt(sample: Sample) -> str:
    """What the user asked last; "" when no user speaks."""
    return next((message.content for message in reversed(sample.prompt) if message.role == "user"), "")


def _judge_parts(
    thought: str, answer: str, settings: ThinkSettings, prompt: str, may_be_empty: bool
) -> Check:
    if has_think_tag(thought) or (OPENING_TAG in answer and CLOSING_TAG in answer):
        return _refuted("think_twice", "a second thought is opened")
    if len(thought.strip()) < settings.min_characters:
        found = len(thought.strip())
        return _refuted(
            "think_empty", f"the thought has {found} characters; at least {settings.min_characters}"
        )
    if has_think_tag(answer):
        return _refuted("think_tag_in_answer", "a think tag stands in the answer")
    return (
        _over_budget(thought, settings)
        or _end_token(thought, "the thought")
        or _circles(thought, settings)
        or _foreign(thought, settings, prompt)
        or _judge_answer(answer, may_be_empty)
    )


def _over_budget(thought: str, settings: ThinkSettings) -> Check | None:
    if settings.max_characters is not None and len(thought) > settings.max_characters:
        limit = settings.max_characters
        return _refuted("think_over_budget", f"the thought has {len(thought)} characters; at most {limit}")
    if settings.max_words is not None and (words := len(thought.split())) > settings.max_words:
        return _refuted("think_over_budget", f"the thought has {words} words; at most {settings.max_words}")
    return None


def _end_token(text: str, whose: str) -> Check | None:
    found = _END_TOKEN.search(text)
    if found is None:
        return None
    behind = text[found.end() : found.end() + 80]
    return _refuted("think_end_token_in_text", f"{found[0]} stands in {whose}, followed by {behind!r}")


def _circles(thought: str, settings: ThinkSettings) -> Check | None:
    repeats, limit = settings.max_repeats_in_a_row, settings.max_repeated_ngram_share
    if repeats is not None and (loop := find_loop(thought, repeats)) is not None:
        return _refuted("think_loops", f"{loop.repeats} times in a row: {loop.passage[:120]!r}")
    if limit is not None and (share := repeated_share(thought)) > limit:
        return _refuted("think_repeats", f"{share:.0%} of the 8-word runs are repeats; at most {limit:.0%}")
    return None


def _foreign(thought: str, settings: ThinkSettings, prompt: str) -> Check | None:
    if settings.language is None:
        return None
    problem = other_language(thought, settings.language, prompt)
    return None if problem is None else _refuted("think_other_language", problem)


def _judge_answer(answer: str, may_be_empty: bool) -> Check:
    if not answer.strip() and not may_be_empty:
        return _refuted("answer_empty", "nothing follows the thought or the prompt")
    return _end_token(answer, "the answer") or Check(CHECK_NAME, Outcome.VERIFIED, "think_ok")


def _refuted(reason: str, detail: str) -> Check:
    return Check(CHECK_NAME, Outcome.REFUTED, reason, detail)
