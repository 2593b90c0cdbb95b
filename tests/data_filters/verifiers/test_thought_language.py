"""A thought is in the language it should be in; formulas and short texts tell nothing."""

import pytest

from data_filters.verifiers.thought_language import foreign_share, other_language, text_language

ENGLISH = (
    "First we add the prices of both tickets, and then we take away what she had in her purse before. "
    "That leaves the amount which her brother has to pay, so the answer can be found from this difference."
)
GERMAN = (
    "Zuerst addieren wir die Preise der beiden Karten und ziehen dann ab, was sie vorher in ihrer Tasche hatte. "
    "So bleibt der Betrag, den ihr Bruder noch bezahlen muss, und daraus folgt dann auch schon die gesuchte Antwort."
)
CHINESE = (
    "\u6211\u4eec\u9996\u5148\u8ba1\u7b97\u4e24\u5f20\u7968\u7684\u4ef7\u683c\u4e4b\u548c\u7136"
    "\u540e\u51cf\u53bb\u5979\u539f\u6765\u6709\u7684\u94b1\u6240\u4ee5\u7b54\u6848\u5c31\u662f"
    "\u8fd9\u4e2a\u5dee\u3002"
)


@pytest.mark.parametrize(
    ("text", "language"), [(ENGLISH, "en"), (GERMAN, "de"), (CHINESE, "zh-cn"), ("2 + 2", None)]
)
def test_the_language_of_a_text_is_told_or_left_open(text: str, language: str | None) -> None:
    assert text_language(text) == language


@pytest.mark.parametrize(
    ("thought", "wanted", "prompt", "differs"),
    [
        (ENGLISH, "en", "", False),
        (GERMAN, "en", "", True),
        (GERMAN, "de", "", False),
        (CHINESE, "zh", "", False),
        (CHINESE, "en", "", True),
        (ENGLISH, "prompt", ENGLISH, False),
        (GERMAN, "prompt", ENGLISH, True),
        (CHINESE, "prompt", ENGLISH, True),
        (GERMAN, "prompt", "2 + 2?", False),
        ("2 + 2 = 4", "en", "", False),
        (r"$\alpha + \beta = \frac{1}{2}$, $x^2 = 4$", "en", "", False),
        ("\u03b1 + \u03b2 = \u03b3. " + ENGLISH, "en", "", False),
        (ENGLISH + " " + CHINESE, "en", "", True),
    ],
)
def test_a_thought_is_held_to_the_wanted_language(
    thought: str, wanted: str, prompt: str, differs: bool
) -> None:
    assert (other_language(thought, wanted, prompt) is not None) is differs


def test_greek_letters_and_formulas_are_no_other_script() -> None:
    assert foreign_share("\u03b1 + \u03b2 \u2264 \u03c0") == 0
    assert foreign_share("\u043f\u0440\u0438") == 1
