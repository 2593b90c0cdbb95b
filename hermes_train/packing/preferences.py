"""Preference pairs as tokens for TRL's DPO: `prompt_ids`, `chosen_ids`, `rejected_ids`."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, List, Value
from datasets.arrow_writer import ArrowWriter

from data_filters.files import ASIDE_SUFFIX, write_folder_whole
from data_filters.samples import Message, Pair, Sample
from hermes_train.chat.history import untrained
from hermes_train.chat.problems import DocumentError, Problem
from hermes_train.packing.documents import DocumentMaker

_TOKENS = List(Value("int32"))
_FEATURES = Features(
    {
        "id": Value("string"),
        "kind": Value("string"),
        "mode": Value("string"),
        "prompt_ids": _TOKENS,
        "chosen_ids": _TOKENS,
        "rejected_ids": _TOKENS,
    }
)


def tokenize_pairs(
    pairs: Iterable[Pair], maker: DocumentMaker, max_length: int, dropped: Counter[str]
) -> Iterator[dict[str, Any]]:
    """Yield one row for each pair that fits, and count the others by reason.

    Both sides go through the rendering and labels that SFT uses: the prompt is what lies before the last turn's labels,
    an answer is what they cover, end token included.
    """
    for pair in pairs:
        try:
            chosen_prompt, chosen = _split(pair, pair.chosen, maker)
            rejected_prompt, rejected = _split(pair, pair.rejected, maker)
        except DocumentError as error:
            dropped[error.problem] += 1
            continue
        if chosen_prompt != rejected_prompt:
            dropped[Problem.PROMPTS_DIFFER] += 1
        elif len(chosen_prompt) + max(len(chosen), len(rejected)) > max_length:
            dropped[Problem.TOO_LONG] += 1
        else:
            yield {
                "id": pair.id,
                "kind": pair.kind,
                "mode": str(pair.mode),
                "prompt_ids": chosen_prompt,
                "chosen_ids": chosen,
                "rejected_ids": rejected,
            }


def _split(pair: Pair, answer: Message, maker: DocumentMaker) -> tuple[list[int], list[int]]:
    """Return the tokens of the prompt and of one answer. Raises DocumentError."""
    messages = [*untrained(pair.prompt), answer]
    sample = Sample(id=pair.id, source=pair.kind, messages=messages, tools=pair.tools)
    rendered = maker.renderer.render(sample, mode=pair.mode, tags_in_answer=True)
    (result,) = maker.labeller.tokenize([rendered])
    if isinstance(result, DocumentError):
        raise result
    input_ids, spans = result
    start, end = spans[-1]
    return input_ids[:start].tolist(), input_ids[start:end].tolist()


def write_pairs(rows: Iterable[dict[str, Any]], multiple: int, folder: Path) -> tuple[int, Counter[str]]:
    """Write the rows as a data set, whole or not at all, and no row is held in memory.

    A last step with fewer pairs would weigh them more: the few over a multiple of `multiple` are left out. Returns the
    number of all rows, and those written by kind. With fewer than `multiple` rows nothing is written.
    """
    scratch = folder.with_name(f"{folder.name}.rows{ASIDE_SUFFIX}")
    scratch.parent.mkdir(parents=True, exist_ok=True)
    kinds: list[str] = []
    # datasets would name the data set after its file's time of change.
    content = hashlib.blake2b(digest_size=8)
    with ArrowWriter(path=str(scratch), features=_FEATURES) as writer:
        for row in rows:
            kinds.append(row["kind"])
            content.update(repr(row).encode())
            writer.write(row)
        writer.finalize()
    whole = len(kinds) - len(kinds) % multiple
    if whole:
        found = Dataset.from_file(str(scratch))
        with write_folder_whole(folder) as aside:
            found.select(range(whole), new_fingerprint=content.hexdigest()).save_to_disk(str(aside))
    scratch.unlink()
    return len(kinds), Counter(kinds[:whole])
