"""Published conversations go through the filter and become documents: each row is kept or rejected with a reason.

The counts are exact: a reader that loses sound rows, or lets a broken one through, changes them.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from data_filters.outputs import read_kept, read_rejected
from data_filters.pipeline import run_filter
from data_filters.samples import Sample
from data_filters.settings import DataSettings, Source
from hermes_train.chat.labels import IGNORED
from hermes_train.packing.documents import DocumentMaker, Tally, document_maker
from hermes_train.recipe.schema import ModelSection, RandomModel
from hermes_train.stages.prepare import prepared_tokenizer

pytestmark = pytest.mark.real_data

FILES = {
    "sharegpt": "chat/sharegpt_demo.json",
    "glaive": "tools/glaive_sharegpt_tools.json",
    "oasst": "chat/oasst_trees.jsonl.gz",
    "alpaca": "chat/alpaca_demo.json",
}
READ = {"sharegpt": 500, "glaive": 300, "oasst": 100, "alpaca": 1000}
REJECTED = {
    "sharegpt": {},
    "glaive": {"duplicate_exact": 35},
    "oasst": {},
    "alpaca": {"duplicate_exact": 14},
}
ASSISTANT_TURNS = {"sharegpt": 1000, "glaive": 845, "oasst": 145, "alpaca": 986}
"""Turns of the kept rows: as many documents as there are when every turn becomes one."""

LONGEST = 1_000_000


class Filtered(NamedTuple):
    folder: Path
    read: dict[str, int]
    kept: dict[str, int]
    rejected: dict[str, dict[str, int]]


@pytest.fixture(scope="module")
def filtered(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Filtered:
    """The four files through the filter as a recipe has it by default."""
    folder = tmp_path_factory.mktemp("filtered")
    sources = [Source(name=name, path=str(shared_data / path)) for name, path in FILES.items()]
    found = run_filter(DataSettings(sources=sources), [], folder, None).sources
    return Filtered(
        folder,
        {name: funnel.read for name, funnel in found.items()},
        {name: funnel.kept for name, funnel in found.items()},
        {name: dict(funnel.rejected) for name, funnel in found.items()},
    )


@pytest.fixture(scope="module", params=["llama3", "chatml"])
def maker(request: pytest.FixtureRequest) -> DocumentMaker:
    """What makes documents with a template of ours and one token a byte."""
    section = ModelSection(random=RandomModel(), template=request.param)
    return document_maker(prepared_tokenizer(section), section.system)


def texts(sample: Sample) -> list[tuple[str, str, object]]:
    return [(turn.role, " ".join(turn.content.split()), turn.tool_calls) for turn in sample.messages]


def test_every_row_is_kept_or_rejected_with_a_reason(filtered: Filtered) -> None:
    assert filtered.read == READ
    assert filtered.rejected == REJECTED
    for name, read in filtered.read.items():
        assert read == filtered.kept[name] + sum(filtered.rejected[name].values())


def test_each_rejected_row_says_the_same_as_the_kept_row_that_it_names(filtered: Filtered) -> None:
    kept = {sample.id: sample for sample in read_kept(filtered.folder)}
    rejected = list(read_rejected(filtered.folder))

    assert len(rejected) == 49
    for sample, verdict in rejected:
        earlier = kept[verdict.checks[-1].detail.removeprefix("same conversation as ")]
        assert texts(sample) == texts(earlier)
        assert sample.tools == earlier.tools


@pytest.mark.parametrize("history", ["keep", "expand"])
def test_every_kept_row_becomes_documents_and_none_is_dropped(
    filtered: Filtered, maker: DocumentMaker, history: str
) -> None:
    tally = Tally()
    documents = Counter(
        document.source for document in maker.documents(read_kept(filtered.folder), history, LONGEST, tally)
    )

    assert [dict(tally.counts[key].dropped) for key in sorted(tally.counts)] == [{}, {}, {}, {}]
    assert dict(documents) == (filtered.kept if history == "keep" else ASSISTANT_TURNS)


def test_what_is_trained_is_what_the_assistant_said_and_its_end_tokens(
    filtered: Filtered, maker: DocumentMaker
) -> None:
    end = maker.renderer.facts.turn_ends[0]
    compared = 0
    for sample, trained in trained_texts(maker, read_kept(filtered.folder)):
        assert trained == "".join(
            turn.content + end for turn in sample.messages if turn.role == "assistant"
        ), sample.id
        compared += 1

    assert compared == 1713


def trained_texts(maker: DocumentMaker, samples: Iterator[Sample]) -> Iterator[tuple[Sample, str]]:
    """The labelled tokens of each conversation without tool calls, as text."""
    spoken = [sample for sample in samples if not any(turn.tool_calls for turn in sample.messages)]
    for sample, document in zip(spoken, maker.documents(spoken, "keep", LONGEST, Tally()), strict=True):
        yield sample, maker.tokenizer.decode(document.labels[document.labels != IGNORED])
