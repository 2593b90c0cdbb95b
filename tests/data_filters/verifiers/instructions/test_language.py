"""The language of a text is told the same way each time."""

import subprocess
import sys

import pytest

from data_filters.verifiers.instructions.language import detect_language

UNCLEAR = "1. PIXEL PRODIGY\n2. CODE CONSTRUCT\n3. DIGITAL DYNAMICS"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("This is a nice day.", "en"),
        ("Das ist ein schöner Tag.", "de"),
        ("आज का दिन बहुत अच्छा है।", "hi"),
        ("今天天气很好，我们去公园散步。", "zh-cn"),
        ("12345", None),
        ("", None),
        ("\ud800\x00", None),
    ],
)
def test_a_language_is_told_or_said_to_be_none(text: str, language: str | None) -> None:
    assert detect_language(text) == language


def test_an_unclear_text_gets_the_same_language_in_every_process() -> None:
    program = f"from data_filters.verifiers.instructions.language import detect_language as d; print(d({UNCLEAR!r}))"
    others = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(3)
    }

    assert others == {detect_language(UNCLEAR)}


def test_the_detector_of_others_keeps_its_own_seed() -> None:
    from langdetect import DetectorFactory

    detect_language("This is a nice day.")

    assert DetectorFactory.seed is None
