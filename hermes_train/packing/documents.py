"""Samples into documents: rendered once, tokenised in batches, labelled, checked; what fails is counted by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from transformers import PreTrainedTokenizerFast

from data_filters.samples import Mode, Sample
from hermes_train.chat.labels import ControlIds, Document, LabelError, tokenize
from hermes_train.chat.render import Rendered, Renderer, RenderError, history_views

TOO_LONG = "too_long"
"""The reason of a document that exceeds the pack."""

_BATCH = 256


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

    def rows(self) -> list[dict[str, object]]:
        """Return the counts as JSON rows, by source and mode."""
        return [
            {
                "name": source,
                "mode": str(mode),
                "documents": count.documents,
                "tokens": count.tokens,
                "label_tokens": count.label_tokens,
                "dropped": dict(count.dropped),
            }
            for (source, mode), count in sorted(self.counts.items())
        ]


class DocumentMaker:
    """Makes documents with one renderer and one tokenizer."""

    def __init__(self, renderer: Renderer, tokenizer: PreTrainedTokenizerFast, control: ControlIds) -> None:
        self.renderer = renderer
        self.tokenizer = tokenizer
        self.control = control

    def documents(
        self, samples: Iterable[Sample], history: str, length: int, tally: Tally
    ) -> Iterator[Document]:
        """Yield the documents of `samples` that fit in `length` tokens, in order; count the rest by reason."""
        views = ((view, keep) for sample in samples for view, keep in history_views(sample, history))
        while chunk := list(islice(views, _BATCH)):
            yield from self._batch(chunk, length, tally)

    def _batch(self, views: list[tuple[Sample, bool]], length: int, tally: Tally) -> Iterator[Document]:
        rendered: list[tuple[Sample, Rendered]] = []
        for sample, keep_cots in views:
            try:
                rendered.append((sample, self.renderer.render(sample, keep_cots=keep_cots)))
            except RenderError as error:
                tally.of(sample.source, sample.mode).dropped[error.problem] += 1
        if not rendered:
            return
        for (sample, item), result in zip(
            rendered, tokenize(self.tokenizer, [item for _, item in rendered], self.control), strict=True
        ):
            count = tally.of(sample.source, item.mode)
            if isinstance(result, LabelError):
                count.dropped[result.problem] += 1
            elif len(result[0]) > length:
                count.dropped[TOO_LONG] += 1
            else:
                document = Document(sample.id, sample.source, item.mode, *result)
                count.documents += 1
                count.tokens += len(document.input_ids)
                count.label_tokens += document.label_tokens
                yield document

    def count_tokens(self, texts: list[str]) -> list[int]:
        """Return the number of tokens of each text, control tokens not added."""
        encoded = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False)
        return [len(ids) for ids in encoded["input_ids"]]
