"""Instructions about the language and the case of an answer.

The reference asks langdetect, whose answers on short texts depend on chance; here the same detector starts from a
fixed seed, with its profiles in a fixed order, so a text always gets the same verdict.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

import msgspec

from data_filters.samples import Outcome
from data_filters.verifiers.instructions.base import (
    Count,
    Instruction,
    NotDecidedError,
    Relation,
    count_breach,
)
from data_filters.verifiers.instructions.words import count_capital_words

if TYPE_CHECKING:
    from langdetect.detector_factory import DetectorFactory

Code = Annotated[str, msgspec.Meta(pattern=r"^[a-z]{2,3}(-[a-z]{2,4})?$")]
# langdetect reads 10,000 characters after dropping addresses; more is only copied.
_READ_CHARACTERS = 20_000
# langdetect skips most letters of a word in capitals. English answers put in capitals and cut to 60 characters are
# taken for another language one time in five, those cut to 500 one in two hundred.
_ENOUGH_IN_CAPITALS = 500
_SEED = 0


class ResponseLanguage(Instruction, frozen=True):
    """The answer is in the language with the ISO code `language`."""

    language: Code

    def breach(self, text: str) -> str | None:
        return language_breach(text, self.language)


class EnglishCapital(Instruction, frozen=True):
    """The answer is in English and has capital letters only."""

    def breach(self, text: str) -> str | None:
        if not text.isupper():
            return "not all letters are capitals"
        if len(text) < _ENOUGH_IN_CAPITALS and language_breach(text.lower(), "en") is None:
            return None
        return language_breach(text, "en")


class EnglishLowercase(Instruction, frozen=True):
    """The answer is in English and has small letters only."""

    def breach(self, text: str) -> str | None:
        return language_breach(text, "en") if text.islower() else "not all letters are small"


class CapitalWordFrequency(Instruction, frozen=True):
    """At least, or fewer than, `capital_frequency` words are in capitals."""

    capital_frequency: Count
    capital_relation: Relation

    def breach(self, text: str) -> str | None:
        count = count_capital_words(text)
        return count_breach(count, self.capital_relation, self.capital_frequency, "words in capitals")


def language_breach(text: str, language: str) -> str | None:
    """Return which other language a text is in, None when it is in `language`.

    Raises NotDecidedError for a language that the detector does not know and a text without words.
    """
    known = _detectors().get_lang_list()
    if not any(_is(language, code) for code in known):
        raise NotDecidedError(
            Outcome.UNVERIFIED, "instruction_unverifiable", f"no detector knows the language {language!r}"
        )
    found = detect_language(text)
    if found is None:
        raise NotDecidedError(Outcome.UNVERIFIED, "instruction_unverifiable", "the text is in no language")
    return None if _is(language, found) else f"in language {found!r}, asked for {language!r}"


def detect_language(text: str) -> str | None:
    """Return the ISO code of a text's language, such as "en" or "zh-cn"; None for a text without words.

    Only the first 10,000 characters are read. Takes about 5 ms, the first call 0.3 s.
    """
    from langdetect.lang_detect_exception import LangDetectException

    detector = _detectors().create()
    detector.append(text[:_READ_CHARACTERS])
    try:
        found: str = detector.detect()
    except LangDetectException:
        return None
    return None if found == detector.UNKNOWN_LANG else found


def _is(asked: str, found: str) -> bool:
    """Whether a found language is the asked one; "zh" is either script of Chinese."""
    return found == asked or found.startswith(f"{asked}-")


@lru_cache(maxsize=1)
def _detectors() -> DetectorFactory:
    from pathlib import Path

    from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory

    factory = DetectorFactory()
    profiles = sorted(file for file in Path(PROFILES_DIRECTORY).iterdir() if file.is_file())
    factory.load_json_profile([file.read_text("utf-8") for file in profiles])
    factory.set_seed(_SEED)
    return factory
