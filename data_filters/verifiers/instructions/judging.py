"""The verdict on an answer: each constraint of a row is looked up, its arguments are read, and its text is judged."""

from __future__ import annotations

from typing import Any

import msgspec

from data_filters.samples import TASK, Check, Constraint, InstructionsTask, Outcome
from data_filters.settings import Reading
from data_filters.verifiers.instructions import endings, formats, keywords, language, lengths
from data_filters.verifiers.instructions.base import Instruction, NotDecidedError, shown

KINDS: dict[str, type[Instruction]] = {
    "change_case:capital_word_frequency": language.CapitalWordFrequency,
    "change_case:english_capital": language.EnglishCapital,
    "change_case:english_lowercase": language.EnglishLowercase,
    "combination:repeat_prompt": endings.RepeatPrompt,
    "combination:two_responses": endings.TwoResponses,
    "detectable_content:number_placeholders": formats.Placeholders,
    "detectable_content:postscript": formats.Postscript,
    "detectable_format:constrained_response": formats.ConstrainedResponse,
    "detectable_format:json_format": formats.JsonFormat,
    "detectable_format:multiple_sections": formats.MultipleSections,
    "detectable_format:number_bullet_lists": formats.NumberOfBullets,
    "detectable_format:number_highlighted_sections": formats.HighlightedSections,
    "detectable_format:title": formats.Title,
    "keywords:existence": keywords.Existence,
    "keywords:forbidden_words": keywords.ForbiddenWords,
    "keywords:frequency": keywords.Frequency,
    "keywords:letter_frequency": keywords.LetterFrequency,
    "language:response_language": language.ResponseLanguage,
    "length_constraints:nth_paragraph_first_word": lengths.FirstWordOfParagraph,
    "length_constraints:number_paragraphs": lengths.NumberOfParagraphs,
    "length_constraints:number_sentences": lengths.NumberOfSentences,
    "length_constraints:number_words": lengths.NumberOfWords,
    "punctuation:no_comma": endings.NoComma,
    "startend:end_checker": endings.EndChecker,
    "startend:quotation": endings.Quotation,
}
"""IFEval's 25 kinds of instruction by their ids."""


def check(task: InstructionsTask, content: str, reading: Reading = "strict") -> Check:
    """Judge the text after the thought against every constraint of a task.

    Verified with `instructions_kept`. The first constraint that fails decides, else the first that is refuted,
    else the first that is unverified; reasons as in `follows`. A task without constraints failed with
    `instruction_bad_arguments`.
    """
    if not task.constraints:
        return Check(TASK, Outcome.FAILED, "instruction_bad_arguments", "the task has no constraint")
    found = [follows(constraint, content, reading) for constraint in task.constraints]
    for outcome in (Outcome.FAILED, Outcome.REFUTED, Outcome.UNVERIFIED):
        decisive = next((one for one in found if one.outcome == outcome), None)
        if decisive is not None:
            return Check(TASK, outcome, decisive.reason, f"{decisive.name}: {decisive.detail}")
    return Check(TASK, Outcome.VERIFIED, "instructions_kept")


def follows(constraint: Constraint, text: str, reading: Reading = "strict") -> Check:
    """Judge a text, without its thought, against one constraint; a blank text follows none.

    Verified with `instruction_kept`; refuted with `instruction_broken:<id>`; unverified with
    `instruction_unverifiable` where a language cannot be told; failed with `instruction_unknown_id`,
    `instruction_bad_arguments` or `instruction_too_deep`. The check's name is the constraint's id.
    """
    try:
        breach = _breach(_instruction(constraint), text, reading)
    except NotDecidedError as error:
        name = constraint.id if constraint.id in KINDS else shown(constraint.id)
        return Check(name, error.outcome, error.reason, str(error))
    if breach is None:
        return Check(constraint.id, Outcome.VERIFIED, "instruction_kept")
    return Check(constraint.id, Outcome.REFUTED, f"instruction_broken:{constraint.id}", breach)


def _instruction(constraint: Constraint) -> Instruction:
    """Look up the kind and read the arguments. Rows that hold every key of every kind have null in the others."""
    kind = KINDS.get(constraint.id)
    if kind is None:
        known = ", ".join(KINDS)
        raise NotDecidedError(Outcome.FAILED, "instruction_unknown_id", f"not one of: {known}")
    arguments = {name: _whole(value) for name, value in constraint.kwargs.items() if value is not None}
    unknown = next((name for name in arguments if name not in kind.__struct_fields__), None)
    if unknown is not None:
        known = ", ".join(kind.__struct_fields__) or "no arguments"
        raise NotDecidedError(
            Outcome.FAILED, "instruction_bad_arguments", f"{shown(unknown)} is unknown; it takes {known}"
        )
    try:
        return msgspec.convert(arguments, type=kind)
    except msgspec.ValidationError as error:
        raise NotDecidedError(Outcome.FAILED, "instruction_bad_arguments", str(error)) from error


def _whole(value: Any) -> Any:
    """A count that went through a table with empty cells comes back as 300.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _breach(instruction: Instruction, text: str, reading: Reading) -> str | None:
    """How the text breaks the instruction; in the loose reading None when any variant keeps it."""
    variants = [text] if reading == "strict" else loose_variants(text)
    first: str | None = None
    undecided: NotDecidedError | None = None
    for variant in variants:
        try:
            breach = instruction.breach(variant) if variant.strip() else "the answer is empty"
        except NotDecidedError as error:
            undecided = undecided or error
            continue
        if breach is None:
            return None
        first = first or breach
    if undecided is not None:
        raise undecided
    return first


def loose_variants(text: str) -> list[str]:
    """Return IFEval's eight variants of an answer, equal ones once.

    The answer itself, without its first line, without its last line and without both; each also without asterisks.
    """
    lines = text.split("\n")
    whole = [text, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return list(dict.fromkeys([*whole, *(variant.replace("*", "") for variant in whole)]))
