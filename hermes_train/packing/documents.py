"""Samples into documents: rendered once, tokenised in batches, labelled, checked; what fails is counted by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from data_filters.samples import Mode, Sample
from hermes_train.chat.history import history_views, mode_of
from hermes_train.chat.labels import Document, Labeller
from hermes_train.chat.problems import DocumentError, Problem
from hermes_train.chat.render import Rendered, Renderer
from hermes_train.recipe.schema import ModelSection, PackSection, SystemPrompts

_BATCH_ROWS = 1024
_BATCH_CHARACTERS = 3_000_000
"""Large batches spare memory that comes and goes with each; the characters bound it where documents are long."""


@dataclass
class SourceCount:
    """What became of the samples of one source in one mode."""

    documents: int = 0
    tokens: int = 0
    label_tokens: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass
class Tally:
    """Counts by (source, mode); filled while documents are made."""

    counts: dict[tuple[str, Mode], SourceCount] = field(default_factory=dict)

    def of(self, source: str, mode: Mode) -> SourceCount:
        """Return the counts of one source in one mode."""
        return self.counts.setdefault((source, mode), SourceCount())


class DocumentMaker:
    """Makes documents with one renderer and one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, renderer: Renderer, labeller: Labeller) -> None:
        self.tokenizer = tokenizer
        self.renderer = renderer
        self.labeller = labeller

    def documents(
        self, samples: Iterable[Sample], history: str, length: int, tally: Tally
    ) -> Iterator[Document]:
        """Yield the documents of `samples` that fit in `length` tokens, in order; count the rest by reason."""
        for sample, result in self.results(samples, history):
            if isinstance(result, DocumentError):
                tally.of(sample.source, mode_of(sample.messages)).dropped[result.problem] += 1
                continue
            count = tally.of(sample.source, result.mode)
            if len(result.input_ids) > length:
                count.dropped[Problem.TOO_LONG] += 1
            else:
                count.documents += 1
                count.tokens += len(result.input_ids)
                count.label_tokens += result.label_tokens
                yield result

    def results(
        self, samples: Iterable[Sample], history: str
    ) -> Iterator[tuple[Sample, Document | DocumentError]]:
        """Yield each conversation that `samples` are trained as, with its document of any length or why it has none."""
        views = ((view, keep) for sample in samples for view, keep in history_views(sample, history))
        for batch in _batches(views):
            yield from self._batch(batch)

    def _batch(self, views: list[tuple[Sample, bool]]) -> Iterator[tuple[Sample, Document | DocumentError]]:
        rendered: list[Rendered | DocumentError] = []
        for sample, keep_cots in views:
            try:
                rendered.append(self.renderer.render(sample, keep_cots=keep_cots))
            except DocumentError as error:
                rendered.append(error)
        labelled = iter(self.labeller.tokenize([item for item in rendered if isinstance(item, Rendered)]))
        for (sample, _), item in zip(views, rendered, strict=True):
            result = next(labelled) if isinstance(item, Rendered) else item
            if isinstance(result, DocumentError):
                yield sample, result
            else:
                assert isinstance(item, Rendered), "nothing else has tokens"
                yield sample, Document(sample.id, sample.source, item.mode, *result)

    def count_tokens(self, texts: list[str]) -> list[int]:
        """Return the number of tokens of each text, control tokens not added."""
        encoded = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False)
        return [len(ids) for ids in encoded["input_ids"]]


def _batches(views: Iterable[tuple[Sample, bool]]) -> Iterator[list[tuple[Sample, bool]]]:
    batch: list[tuple[Sample, bool]] = []
    characters = 0
    for sample, keep_cots in views:
        batch.append((sample, keep_cots))
        characters += sum(len(message.content) + len(message.reasoning or "") for message in sample.messages)
        if len(batch) == _BATCH_ROWS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def document_maker(
    tokenizer: PreTrainedTokenizerFast, system: SystemPrompts, seed: int = 0, control_text: str = "as_text"
) -> DocumentMaker:
    """Return what makes documents with a tokenizer and its own chat template.

    `control_text` says what becomes of control tokens in users' texts: `as_text` or `drop`. Raises UserError for a
    template that cannot be trained with.
    """
    renderer = Renderer.of(tokenizer, system, seed)
    return DocumentMaker(tokenizer, renderer, Labeller(tokenizer, renderer.facts, control_text))


def load_maker(model_folder: Path, model: ModelSection, pack: PackSection, seed: int) -> DocumentMaker:
    """Return what makes documents for the model in a folder that the prepare stage wrote."""
    tokenizer = AutoTokenizer.from_pretrained(model_folder, trust_remote_code=False)
    return document_maker(tokenizer, model.system, seed, pack.control_text)
