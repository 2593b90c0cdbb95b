"""Preference pairs as tokens for TRL's DPO.

    {"id": "gsm8k/17", "kind": "trace", "mode": "think", "prompt_ids": [1, 9690, ...], "chosen_ids": [13, ...],
     "rejected_ids": [13, ...]}

Pairs go to the workers in batches, through files, so that neither they nor their tokens are held in memory, and come
back in order: the same pairs give the same bytes for any number of workers.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from datasets import Dataset, Features, List, Value
from datasets.arrow_writer import ArrowWriter

from data_filters.files import ASIDE_SUFFIX, write_atomically, write_folder_whole
from data_filters.samples import Message, Pair, Sample
from hermes_train.chat.history import untrained
from hermes_train.chat.problems import DocumentError, Problem
from hermes_train.chat.render import Rendered
from hermes_train.packing.documents import DocumentMaker
from hermes_train.packing.rows import MakerPlan, Workers

_TOKENS = List(Value("int32"))
FEATURES = Features(
    {
        "id": Value("string"),
        "kind": Value("string"),
        "mode": Value("string"),
        "prompt_ids": _TOKENS,
        "chosen_ids": _TOKENS,
        "rejected_ids": _TOKENS,
    }
)

_BATCH_PAIRS = 256
"""Pairs that one call of the tokenizer serves."""

_Side = tuple[list[int], list[int]]
"""The tokens of the prompt and of one answer."""


@dataclass(frozen=True)
class PairsWritten:
    """What became of the pairs."""

    found: int
    """Pairs that fit, before the last ones are left out."""
    by_kind: Counter[str]
    """The pairs that were written."""
    dropped: Counter[str]
    """The pairs that do not fit or cannot be rendered, by reason."""


@dataclass(frozen=True)
class _Batch:
    """Some pairs on their way: `pairs`, written by the main process, becomes `rows`, written by a worker."""

    plan: MakerPlan
    folder: Path
    number: int
    max_length: int

    @property
    def pairs(self) -> Path:
        return self.folder / f"pairs-{self.number:06d}.msgpack"

    @property
    def rows(self) -> Path:
        return self.folder / f"rows-{self.number:06d}.arrow"


def write_pairs(
    pairs: Iterable[Pair], plan: MakerPlan, max_length: int, multiple: int, folder: Path, workers: Workers
) -> PairsWritten:
    """Tokenise the pairs and write those of at most `max_length` tokens as a data set, whole or not at all.

    A last step with fewer pairs would weigh them more: the few over a multiple of `multiple` are left out. With fewer
    than `multiple` pairs nothing is written.
    """
    scratch = folder.with_name(f"{folder.name}.batches{ASIDE_SUFFIX}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    batches = list(_laid_down(pairs, plan, max_length, scratch))
    dropped = sum(workers.run(_tokenize_batch, batches, lambda: None), Counter[str]())
    found, by_kind = _gathered([batch.rows for batch in batches], multiple, scratch, folder)
    shutil.rmtree(scratch)
    return PairsWritten(found, by_kind, dropped)


def tokenized_pairs(
    pairs: list[Pair], maker: DocumentMaker, max_length: int
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Return one row for each pair that fits, and the number of the others by reason.

    Both sides go through the rendering and labels that SFT uses: the prompt is what lies before the last turn's labels,
    an answer is what they cover, end token included.
    """
    answers = [(pair, answer) for pair in pairs for answer in (pair.chosen, pair.rejected)]
    sides = _sides([_rendered(pair, answer, maker) for pair, answer in answers], maker)
    rows, dropped = [], Counter[str]()
    for pair in pairs:
        chosen, rejected = next(sides), next(sides)
        tokens = _joined(chosen, rejected, max_length)
        if isinstance(tokens, Problem):
            dropped[tokens] += 1
        else:
            rows.append({"id": pair.id, "kind": pair.kind, "mode": str(pair.mode), **tokens})
    return rows, dropped


def _joined(
    chosen: _Side | DocumentError, rejected: _Side | DocumentError, max_length: int
) -> dict[str, list[int]] | Problem:
    """Return the tokens of a row, or why two sides make none."""
    if isinstance(chosen, DocumentError):
        return chosen.problem
    if isinstance(rejected, DocumentError):
        return rejected.problem
    (prompt, preferred), (other_prompt, other) = chosen, rejected
    if prompt != other_prompt:
        return Problem.PROMPTS_DIFFER
    if len(prompt) + max(len(preferred), len(other)) > max_length:
        return Problem.TOO_LONG
    return {"prompt_ids": prompt, "chosen_ids": preferred, "rejected_ids": other}


def _rendered(pair: Pair, answer: Message, maker: DocumentMaker) -> Rendered | DocumentError:
    messages = [*untrained(pair.prompt), answer]
    sample = Sample(id=pair.id, source=pair.kind, messages=messages, tools=pair.tools)
    try:
        return maker.renderer.render(sample, mode=pair.mode, tags_in_answer=True)
    except DocumentError as error:
        return error


def _sides(rendered: list[Rendered | DocumentError], maker: DocumentMaker) -> Iterator[_Side | DocumentError]:
    """Yield the tokens of each side, by one call of the tokenizer, or why it has none."""
    results = iter(maker.labeller.tokenize([item for item in rendered if isinstance(item, Rendered)]))
    for item in rendered:
        result = next(results) if isinstance(item, Rendered) else item
        if isinstance(result, DocumentError):
            yield result
        else:
            input_ids, spans = result
            start, end = spans[-1]
            yield input_ids[:start].tolist(), input_ids[start:end].tolist()


def _laid_down(pairs: Iterable[Pair], plan: MakerPlan, max_length: int, folder: Path) -> Iterator[_Batch]:
    rest = iter(pairs)
    number = 0
    while some := list(islice(rest, _BATCH_PAIRS)):
        batch = _Batch(plan, folder, number, max_length)
        batch.pairs.write_bytes(msgspec.msgpack.encode(some))
        yield batch
        number += 1


def _tokenize_batch(batch: _Batch) -> Counter[str]:
    """Write the rows of a batch. Returns how many of its pairs were dropped, by reason."""
    pairs = msgspec.msgpack.decode(batch.pairs.read_bytes(), type=list[Pair])
    rows, dropped = tokenized_pairs(pairs, batch.plan.maker(), batch.max_length)
    table = pa.Table.from_pylist(rows, schema=FEATURES.arrow_schema)
    with write_atomically(batch.rows, "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    batch.pairs.unlink()
    return dropped


def _gathered(files: list[Path], multiple: int, scratch: Path, folder: Path) -> tuple[int, Counter[str]]:
    """Write the rows of all files as one data set. Returns the number of all rows, and those written by kind."""
    whole_file = scratch / "all.arrow"
    # datasets would name the data set after its file's time of change.
    content = hashlib.blake2b(digest_size=8)
    with ArrowWriter(path=str(whole_file), features=FEATURES) as writer:
        for file in files:
            content.update(file.read_bytes())
            with pa.ipc.open_stream(file) as stream:
                writer.write_table(stream.read_all())
            file.unlink()
        found, _ = writer.finalize()
    whole = found - found % multiple
    if not whole:
        return found, Counter()
    rows = Dataset.from_file(str(whole_file)).select(range(whole), new_fingerprint=content.hexdigest())
    with write_folder_whole(folder) as aside:
        rows.save_to_disk(str(aside))
    return found, Counter(rows.data.column("kind").to_pylist()[:whole])
