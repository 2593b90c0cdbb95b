"""How many sentences a text has, counted as IFEval's reference (NLTK's Punkt for English) counts them.

    "Mr. Smith paid $3.5 million, i.e. all of it. He left!"  ->  2
    "1. Wash it.\\n2. Dry it."                                ->  4

A full stop ends a sentence, that of a list number before a capital too (as Punkt has it), unless it belongs to an
abbreviation, an initial, an ellipsis or a number before a small letter. The end of a line alone ends nothing.
"""

from __future__ import annotations

import re

# Titles and companies; months and days; places; measures and small words; dotted letters ("P.S." is left out: a
# sentence follows it).
_ABBREVIATION_LIST = """
    mr mrs ms dr prof st sr jr gen col lt maj sgt capt adm sen rep gov rev hon messrs inc ltd co corp bros cie
    jan feb mar apr aug sep sept oct nov dec mon tue tues wed thu thurs fri sat
    ave blvd rd mt ft calif colo conn fla mich minn okla tenn wis wash ariz
    vs v yr yrs mg kg cm ct ill dept est approx viz cf al fig eq vol pp
    e.g i.e a.m p.m u.s u.k u.n u.s.a d.c b.c a.d ph.d m.d b.a m.a
"""
_ABBREVIATIONS = frozenset(_ABBREVIATION_LIST.split())

# Words that, with a capital after an abbreviation or an ellipsis, begin a new sentence.
_STARTER_LIST = """
    after all although an and another any are as at because before but by can could did do does during each even
    every few for from he her here his how however i if in indeed instead is it its let many may meanwhile most my
    nevertheless no not now of on once one or our perhaps she since so some such than that the their then there
    these they this those though through thus to under until we what when where which while who why with would yet
    you your
"""
_STARTERS = frozenset(_STARTER_LIST.split())

# Closing marks stay with their sentence where a space follows; where none does, Punkt parts them all the same.
_END = re.compile(r"(?<![.!?])[.!?]++(?:[\"')\]}\u2019\u201d]*+(?:\s++|$)|(?=[\"')\]}*\[({@:;]))")
_LAST_WORD = re.compile(r"[^\s\"'([{*_\u2018\u201c\u2014]*$")
_NEXT_WORD = re.compile(r"\w+|\S")
_PUNCTUATION = frozenset(",;:.!?")
_LONGEST_ABBREVIATION = 12
_DEEPEST_INDENT = 40


def count_sentences(text: str) -> int:
    """Return the number of sentences; 0 for a blank text. Takes time linear in the text."""
    text = text.strip()
    return bool(text) + sum(_parts_sentences(text, end) for end in _END.finditer(text))


def _parts_sentences(text: str, end: re.Match[str]) -> bool:
    """Whether the marks at `end` close one sentence and another follows."""
    if end.end() == len(text):
        return False
    if "!" in end[0] or "?" in end[0]:
        return True
    following = _NEXT_WORD.match(text, end.end())
    next_word = following[0] if following else ""
    begins = next_word[:1].isupper() and next_word.lower() in _STARTERS
    if end[0].startswith(".."):
        return begins
    last_word = _last_word(text, end.start())
    if last_word.isdigit() or _letters_a_line(text, end.start(), last_word):
        return not next_word.islower() and next_word not in _PUNCTUATION
    if last_word.lower() in _ABBREVIATIONS or (len(last_word) == 1 and last_word.isupper()):
        return begins
    return True


def _last_word(text: str, end: int) -> str:
    found = _LAST_WORD.search(text[max(0, end - _LONGEST_ABBREVIATION) : end])
    return found[0] if found else ""


def _letters_a_line(text: str, end: int, last_word: str) -> bool:
    """Whether the last word is a letter that opens its line, as in "A. Introduction"."""
    if len(last_word) != 1:
        return False
    before = text[max(0, end - 1 - _DEEPEST_INDENT) : end - 1].rstrip(" \t")
    return not before or before[-1] == "\n"
