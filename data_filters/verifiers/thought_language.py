"""Whether a thought is written in the language that it should be."""

from __future__ import annotations

import re

SAME_AS_PROMPT = "prompt"
"""The setting that asks for the prompt's language."""

_WORD = re.compile(r"(?<![\\\w])[^\W\d_]{2,}(?![\w(])")
_NOT_LATIN = re.compile(
    "[\u0400-\u1cff\u2d00-\u2dff\u2e80-\ua4cf\ua500-\ua6ff\ua800-\uaaff\uac00-\ud7ff\uf900-\ufaff]"
)
"""Letters of scripts other than Latin. Greek is left out: formulas use it."""
_UNSPACED_SCRIPTS = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
_NOT_LATIN_LANGUAGES = frozenset({
    "ar", "bg", "bn", "el", "fa", "gu", "he", "hi", "ja", "kn", "ko", "mk", "ml", "mr", "ne", "pa",
    "ru", "ta", "te", "th", "uk", "ur", "zh", "zh-cn", "zh-tw",
})  # fmt: skip
_LARGEST_FOREIGN_SHARE = 0.1
_LEAST_WORDS = 30
"""Shorter texts do not tell their language."""
_READ_CHARACTERS = 4000
_ENGLISH = frozenset({
    "the", "and", "of", "to", "that", "then", "this", "are", "have", "for", "with", "can", "be", "which", "if", "what",
    "how", "there", "from", "has", "she", "he", "by",
})  # fmt: skip
_ENGLISH_SHARE = 0.12
"""Share of small English words from which no detector needs to be asked; others stay far below it."""


def other_language(thought: str, wanted: str, prompt: str) -> str | None:
    """Say how a thought's language differs from `wanted`, a code such as "en" or "prompt"; None when it does not.

    Formulas and code do not count, and a thought or prompt too short to tell its language is let pass.
    """
    language = (text_language(prompt) or "") if wanted == SAME_AS_PROMPT else wanted
    if not language:
        return None
    found = text_language(thought)
    if found is not None and _base(found) != _base(language):
        return f"the thought is in {found!r}, not {language!r}"
    share = foreign_share(thought)
    if language not in _NOT_LATIN_LANGUAGES and share > _LARGEST_FOREIGN_SHARE:
        return f"{share:.0%} of the thought's letters are of another script than {language!r} has"
    return None


def text_language(text: str) -> str | None:
    """The code of a text's main language; None for a text with too few words to tell."""
    read = text[:_READ_CHARACTERS]
    words = _WORD.findall(read)
    if len(words) < _LEAST_WORDS and len(_UNSPACED_SCRIPTS.findall(read)) < _LEAST_WORDS:
        return None
    if sum(word.lower() in _ENGLISH for word in words) >= _ENGLISH_SHARE * len(words) > 0:
        return "en"
    from data_filters.verifiers.instructions.language import detect_language

    return detect_language(" ".join(words))


def foreign_share(text: str) -> float:
    """The share of a text's letters that are neither Latin nor Greek."""
    if text.isascii():
        return 0.0
    foreign = len(_NOT_LATIN.findall(text))
    letters = foreign and sum(map(str.isalpha, text))
    return foreign / letters if letters else 0.0


def _base(language: str) -> str:
    """A language without its region: zh for zh-cn."""
    return language.partition("-")[0]
