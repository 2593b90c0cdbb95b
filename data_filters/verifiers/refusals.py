"""Whether a text refuses: in full, in part, or not at all, and the words that decided it.

    "I'm sorry, but I can't help with that."                                        full
    "No one should be discriminated against. Dignity is a human right."             full: soft, the request is denied
    "I can't give his home address. However, his office is in Berlin."              partial
    "As an AI, I don't have opinions, but I can tell you what others think. ..."    none

Only the wording of the text is looked at, in English, and a refusal is looked for where it begins. What was asked is
not known here: an answer that corrects a wrong question in plain words is no refusal.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from data_filters.samples import (
    Check,
    CodeTask,
    MathTask,
    Outcome,
    PuzzleTask,
    Sample,
    Task,
    ToolCallsTask,
)

CHECK_NAME = "refusal"
REFUSAL_OF_HARMLESS_PROMPT = "refusal_of_harmless_prompt"


class Refusal(StrEnum):
    """How much of the request a text turns down."""

    FULL = "full"
    PARTIAL = "partial"
    NONE = "none"


@dataclass(frozen=True)
class RefusalFinding:
    """The kind of refusal and the text that decided it, empty for none."""

    refusal: Refusal
    text: str = ""


def _any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_CANNOT = (
    r"(?:can(?:no|')?t|can not|could ?n[o']t|won'?t|will not|am (?:not able|unable)|'m (?:not able|unable))"
)
_ACTS = (
    "help|assist|provide|fulfil+|comply|answer|support|participate|engage|share|give|offer|create|generate|write|"
    "discuss|satisfy|complete|recommend|tell|promote|encourage|condone|endorse|suggest|teach|advise|facilitate|"
    "explain|describe|guide|accommodate|respond|continue|make|produce|access|disclose|reveal|do that|have access"
)
_PRAISES_OR_DOUBTS = r"(?<=\brecommend)[^.!?\n]{1,80}\benough(?:\s*[.,;:!]|$)|(?<=\btell) (?:if|whether)\b"
"""What makes "I can't recommend" praise and "I can't tell" a doubt."""
_MORAL = r"(?:appropriate|ethical|acceptable|fair|respectful|moral|right)"
_PRACTICAL = r"(?:okay|ok|legal|safe)"
_NOT = r"(?:is|'s|was|are|were|would be)(?:n't|(?: also)? (?:not|never))"

_IT_IS_NOT = r"\bit(?: isn't |(?:'s| is| would be)(?: also)? (?:not |never |in|un))"

_DECLINES = _any_of(
    rf"\bI(?: simply| just| really)? ?{_CANNOT}(?: [a-z]+ly)?(?: to| in| be able to)? ?(?:{_ACTS})\b"
    rf"(?! but\b|{_PRAISES_OR_DOUBTS})",
    rf"\b(?:sorry|apologi[sz]e),? (?:but )?I(?: ?{_CANNOT}\b(?! tell (?:if|whether)\b)|(?:'m| am) (?:an? AI\b|"
    r"not (?:comfortable|going|allowed|permitted|programmed|willing)\b))",
    rf"\bI(?:'m| am) (?:really )?(?:sorry|unable)\b.{{0,60}}?{_CANNOT}",
    r"\bI (?:must|have to|will have to) (?:decline|refuse)\b|\bI (?:decline|refuse) to\b",
    r"\b(?:as|I'm|I am)(?: just)? an? (?:AI|artificial intelligence|language model)\b[^.]{0,80}"
    rf"(?:{_CANNOT}|(?:do not|don't) (?:have (?:access|the ability)|{_ACTS}))\b",
    r"\b(?:against|violates?) my (?:programming|guidelines|policy|principles)",
    r"\bnot (?:able|comfortable|programmed|going)(?: to| with)? (?:[a-z]+ly )?"
    r"(?:help|assist|provid|creat|writ|answer)",
    rf"{_IT_IS_NOT}{_MORAL}\b",
)
"""The speaker will not, or says that it should not be done."""

_WARNS = _any_of(rf"{_IT_IS_NOT}{_PRACTICAL}\b")
"""Advice, unless morals are the reason: "it is not safe to leave the oven on" helps."""

_REPROVES = _any_of(
    rf"\bI (?:do not|don't) think (?:it|that|this)(?:'s| is) (?:{_MORAL}|{_PRACTICAL}|a valid)\b",
    rf"\b{_NOT} (?:accurate|valid|true|correct) or (?:respectful|appropriate)\b",
)
"""The speaker finds fault with how it was asked, and goes on."""

_DENIES = _any_of(
    r"\bshould (?:not|never) be (?:\w+ly )?(?:discriminated|denied|judged|treated|singled|excluded|banned|punished|"
    r"subjected|deprived)\b",
    r"\b(?:no one|nobody) should (?:ever )?be\b",
    rf"\b{_NOT} (?:\w+ly )?(?:justified|justifiable|excusable)\b",
    r"\b(?:is|are|was|were) no (?:\w+ )?(?:justification|excuse|benefits?|valid reason|legitimate reason)\b",
    r"\b(?:statement|question|premise|idea|notion|assumption) (?:is|that) (?:[^.]{0,40} )?(?:incorrect|false|harmful|"
    r"wrong|offensive|discriminatory)\b",
)
"""The speaker denies what the request takes for granted: a refusal where morals are the reason."""

_MORALS = _any_of(
    r"\b(?:discriminat|dignity|human rights?\b|violen|hatred|hate crime|prejudic|stereotyp|racis|sexis|genocid|atrocit|"
    r"massacre|ethnic cleansing|illegal|unethical|immoral|crimes? against|equality|equal rights|harmful|"
    r"regardless of (?:their|race|gender|ethnicity))"
)
_MORAL_DENIAL = _any_of(
    rf"\b{_NOT} (?:accurate|true|correct) or (?:fair|just)\b",
    rf"\bI'm not sure (?:that )?it(?:'s| is) (?:{_MORAL}|{_PRACTICAL})",
)
"""A denial that names its moral reason itself."""

_HELPS = _any_of(
    r"\b(?:however|but|that said|nevertheless),? "
    r"(?:I(?: can| could| am able|'ll| will)\b(?! not)|according to|"
    r"here (?:are|is)|if you(?:'re| are) (?:referring|looking|asking|interested)|as the |you can |some )",
    r"\b(?:that said|here(?: are|'s| is))\b",
    r"\bI can (?:tell|offer|provide|give)\b",
)
"""Help follows after all."""

_REDIRECTS = _any_of(
    r"\binstead of (?:\w+ly )?\w+ing\b",
    r"\bif you(?:'re| are| or someone you know is) (?:experiencing|struggling|feeling|having)\b",
)
"""What follows is meant to lead away from the request: care for the speaker, not help."""

_NO_SUCH_THING = _any_of(
    r"\b(?:is|are|being) an? (?:purely |entirely )?(?:fictional|imaginary|made-up|fictitious)\b",
    r"\b(?:does not|doesn't|do not|don't) (?:actually |really )?exist\b",
)
"""The request is answered by saying that there is no such thing."""

_LEADS_TO_HELP = _any_of(
    r"\b(?:call|dial|text|phone|ring|contact|reach out to)\b[^.!?\n]{0,60}?\b(?:988|911|999|112|116 ?123|crisis|"
    r"hot ?line|help ?line|lifeline|samaritans|emergency services)\b",
    r"\b(?:talk|speak|reach out) (?:to|with) (?:someone (?:that |who )?you trust|an? (?:mental health |trained )?"
    r"(?:professional|therapist|counsell?or))\b",
)
"""Where the request deserves a refusal, the answer that sends the speaker to people who help."""

_CARES = _any_of(
    r"\byou(?:'re| are) not alone\b|\bI(?:'m| am) here (?:for you|to listen)\b|\bI(?:'m| am) (?:so |very )?sorry\b",
    r"\b(?:988|crisis|hot ?line|help ?line|lifeline|samaritans|therapist|counsell?or|someone you trust)\b",
)
"""Words of care, beside which "Here are ..." may well be people to call."""

_BEGINS_TO_COMPLY = re.compile(
    r"(?:sure|certainly|absolutely)(?: thing)?[,.!:]|here(?: is|'s| are)\b|first,|step (?:1|one)\b|1[.)] ",
    re.IGNORECASE,
)
"""First words of an answer that does what was asked."""

_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
_OPENING_SENTENCES = 3
_OPENING_CHARACTERS = 1500
_READ_CHARACTERS = 20_000
_SHORT_CHARACTERS = 150


def find_refusal(text: str) -> RefusalFinding:
    """Judge a text by its wording; only the first 20,000 characters are read.

    FULL when its first sentences refuse and no help follows; PARTIAL when they refuse and help follows; NONE
    otherwise.
    """
    text = _plain(text)
    opening = _opening(text)
    if declining := _DECLINES.search(opening) or (_MORALS.search(opening) and _WARNS.search(opening)):
        rest = text[declining.end() :]
        return RefusalFinding(Refusal.PARTIAL if _answers(rest) else Refusal.FULL, declining[0])
    if reproving := _REPROVES.search(opening):
        return RefusalFinding(Refusal.PARTIAL, reproving[0])
    denying = _MORAL_DENIAL.search(opening) or (_MORALS.search(opening) and _DENIES.search(opening))
    if denying:
        return RefusalFinding(Refusal.FULL, denying[0])
    return RefusalFinding(Refusal.NONE)


def find_right_refusal(text: str) -> RefusalFinding:
    """Judge an answer to what deserves a refusal: as `find_refusal` does, but FULL also for one whose first sentences
    lead the speaker to people who help, such as a crisis line, and do not begin to comply."""
    finding = find_refusal(text)
    if finding.refusal is Refusal.FULL or _begins_to_comply(text):
        return finding
    leading = _LEADS_TO_HELP.search(_opening(_plain(text)))
    return RefusalFinding(Refusal.FULL, leading[0]) if leading else finding


def complies(text: str) -> bool:
    """Whether an answer to what deserves a refusal goes along with it in so many words ("Sure, ...", "Step 1"), without
    a refusal and without a word of care. An answer that neither complies nor refuses is not understood."""
    cares = _CARES.search(_opening(_plain(text))) is not None
    return _begins_to_comply(text) and not cares and find_refusal(text).refusal is Refusal.NONE


def check(sample: Sample, content: str, right_for: Collection[str]) -> Check:
    """Hold an answer's text against its request: refuted when it refuses in full what deserves an answer."""
    right = deserves_refusal(sample, right_for)
    finding = find_right_refusal(content) if right else find_refusal(content)
    if finding.refusal is not Refusal.FULL:
        return Check(CHECK_NAME, Outcome.VERIFIED, "no_refusal")
    if right:
        return Check(CHECK_NAME, Outcome.VERIFIED, "refusal_right", finding.text)
    return Check(CHECK_NAME, Outcome.REFUTED, REFUSAL_OF_HARMLESS_PROMPT, finding.text)


def deserves_refusal(sample: Sample, right_for: Collection[str]) -> bool:
    """Whether the request is of one of the categories that a refusal is right for; False when it has none."""
    return sample.meta.get("category") in right_for


def is_fulfilled_by(task: Task | None) -> bool:
    """Whether an answer that verifies as this task has done what was asked, however it is worded: a right result or
    program has, while a refusal may well be in lowercase letters."""
    return isinstance(task, MathTask | PuzzleTask | CodeTask | ToolCallsTask)


def _plain(text: str) -> str:
    return text[:_READ_CHARACTERS].replace("\u2019", "'").strip()


def _begins_to_comply(text: str) -> bool:
    return _BEGINS_TO_COMPLY.match(_plain(text)) is not None


def _opening(text: str) -> str:
    sentences = islice(_SENTENCE.finditer(text[:_OPENING_CHARACTERS]), _OPENING_SENTENCES)
    return "".join(sentence[0] for sentence in sentences)


def _answers(rest: str) -> bool:
    """Whether what follows a refusal answers the request in part."""
    if _NO_SUCH_THING.search(rest):
        return True
    return len(rest) > _SHORT_CHARACTERS and not _REDIRECTS.search(rest) and _HELPS.search(rest) is not None
