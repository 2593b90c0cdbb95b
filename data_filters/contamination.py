"""Training prompts that are held-out problems, word for word or in large part."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from data_filters.errors import UserError
from data_filters.formats import parse_row
from data_filters.readers import read_rows
from data_filters.row_fields import RowError
from data_filters.samples import Check, Message, Outcome, Sample
from data_filters.settings import ContaminationSettings, Source
from data_filters.words import Run, runs, words

CHECK_NAME = "contamination"

# "Express your answer as a common fraction.": says how to answer, not what is asked, up to the sentence's end.
_ANSWER_FORM = re.compile(
    r"\b(?:enter|express|give|write|put|round|report|provide)\s+(?:your|the|all|each)\s+(?:final\s+)?(?:answers?|letter)\b"
    r"(?:[^.!?]|[.!?](?!\s|$))*",
    re.IGNORECASE,
)
_PROBLEM_FIELDS = ("problem", "question", "prompt", "instruction")


@dataclass(frozen=True)
class HeldOut:
    """A problem that must not be trained on."""

    id: str
    prompt: str


@dataclass(frozen=True)
class HeldOutIndex:
    """Held-out problems, ready to be looked up."""

    ids: tuple[str, ...]
    prompts: dict[Run, int]
    """All words of a prompt -> its problem."""
    runs: dict[Run, int]
    """Run of words that only one problem has -> that problem."""
    telling: frozenset[Run]
    """These runs alone: two sets are held against each other without a hash being worked out twice."""
    run_counts: tuple[int, ...]
    """How many such runs each problem has."""
    boilerplate: frozenset[Run]
    """Runs that two or more problems share: phrases of the trade, which say nothing."""


def held_out_problems(samples: Iterable[Sample], files: Iterable[str]) -> tuple[HeldOut, ...]:
    """The problems of held-out samples and of files of problems. Raises UserError for a file without any."""
    problems = [HeldOut(sample.id, prompt_text(sample.prompt)) for sample in samples]
    for file in files:
        problems += _problems_of(file)
    return tuple(problem for problem in problems if problem.prompt.strip())


def prompt_text(messages: Sequence[Message]) -> str:
    """What the user asks in a prompt; system texts are shared by many rows and left out."""
    return "\n".join(message.content for message in messages if message.role == "user")


@lru_cache(maxsize=2)
def build_index(problems: tuple[HeldOut, ...], ngram: int) -> HeldOutIndex:
    """Index held-out problems by prompt and by runs of `ngram` words."""
    prompts: dict[Run, int] = {}
    owners: dict[Run, set[int]] = {}
    for position, problem in enumerate(problems):
        asked = _asked_words(problem.prompt)
        # The same problem given twice must not turn its own words into boilerplate.
        first = prompts.setdefault(asked, position)
        for run in runs(asked, ngram):
            owners.setdefault(run, set()).add(first)
    telling = {run: next(iter(found)) for run, found in owners.items() if len(found) == 1}
    counts = Counter(telling.values())
    return HeldOutIndex(
        ids=tuple(problem.id for problem in problems),
        prompts=prompts,
        runs=telling,
        telling=frozenset(telling),
        run_counts=tuple(counts[position] for position in range(len(problems))),
        boilerplate=frozenset(run for run, found in owners.items() if len(found) > 1),
    )


def check(sample: Sample, index: HeldOutIndex, settings: ContaminationSettings) -> Check:
    """Hold a sample's prompt against the held-out problems.

    Verified with `contamination_none`; refuted with `contaminated_exact`, or with `contaminated_overlap` when
    one problem shares at least `settings.overlap` of the telling word runs of the shorter of the two. A
    prompt with fewer than `settings.ngram` words is compared as a whole only.
    """
    asked = _asked_words(prompt_text(sample.prompt))
    same = index.prompts.get(asked)
    if same is not None:
        return Check(
            CHECK_NAME, Outcome.REFUTED, "contaminated_exact", f"is held-out problem {index.ids[same]}"
        )
    found = set(runs(asked, settings.ngram))
    if found.isdisjoint(index.telling):
        return Check(CHECK_NAME, Outcome.VERIFIED, "contamination_none")
    shared = [run for run in dict.fromkeys(runs(asked, settings.ngram)) if run in index.runs]
    telling = len(found - index.boilerplate)
    problem, share = _nearest(Counter(index.runs[run] for run in shared), telling, index)
    if share < settings.overlap:
        return Check(CHECK_NAME, Outcome.VERIFIED, "contamination_none")
    example = next(run for run in shared if index.runs[run] == problem)
    held_out = f"held-out problem {index.ids[problem]}"
    detail = f"shares {share:.0%} of its word runs with {held_out}, such as {' '.join(example)!r}"
    return Check(CHECK_NAME, Outcome.REFUTED, "contaminated_overlap", detail)


def _nearest(shared: Counter[int], telling: int, index: HeldOutIndex) -> tuple[int, float]:
    """The problem with the largest shared part of the shorter of prompt and problem, and that part."""

    def share(problem: int) -> float:
        return shared[problem] / min(telling, index.run_counts[problem])

    best = max(sorted(shared), key=share)
    return best, share(best)


def _problems_of(file: str) -> list[HeldOut]:
    name = "_".join(Path(file).name.split())
    source = Source(name=name, path=file)
    problems = []
    for number, row in read_rows(source):
        if isinstance(row, RowError):
            raise UserError(
                f"held-out problems: {row.detail}; mend the file, or a problem could be trained on"
            )
        problems.append(HeldOut(f"{name}/{number}", _problem_text(row, source, number)))
    return problems


def _problem_text(row: dict[str, Any], source: Source, number: int) -> str:
    """The problem of a benchmark row, which need not hold an answer."""
    for field in _PROBLEM_FIELDS:
        if isinstance(row.get(field), str):
            return str(row[field])
    try:
        return prompt_text(parse_row(row, source, number).prompt)
    except RowError as error:
        fields = ", ".join(_PROBLEM_FIELDS)
        raise UserError(
            f"held-out problems: row {number} of {source.path} has none of {fields} "
            f"and is no conversation ({error})"
        ) from error


def _asked_words(text: str) -> Run:
    """The words of what is asked, without the sentences that say how to answer; a text without words as a whole."""
    return tuple(words(_ANSWER_FORM.sub(" ", text))) or (text.strip(),)
