"""A row that is held out is in no training data of any stage, with all of its documents; the rest is as before."""

import numpy as np
import pytest
from datasets import Dataset
from pack_rows import inputs_for, sample, write_rows

from data_filters.errors import UserError
from data_filters.files import write_jsonl
from data_filters.samples import Message, Outcome, Sample, Verdict
from hermes_train.packing.held_out import HELD_OUT_INDEX, HeldOut
from hermes_train.packing.hybrid import read_prompts
from hermes_train.packing.store import PackIndex, TokenStore
from hermes_train.stages.pack import make_packs

SHARE = 0.2
CONTROL = "{budget: 40, share: 0.1, prompts: 500}"
"""More prompts than there are rows, so that every row that may be drawn is."""


def conversation(number):
    """Three questions on one row: three documents."""
    turns = [
        message
        for turn in range(3)
        for message in (Message("user", f"And {number} + {turn}?"), Message("assistant", str(number + turn)))
    ]
    return Sample(f"chat/{number}", "chat", turns)


ROWS = [conversation(number) if number % 2 else sample(number) for number in range(600)]
REFUTED = Verdict("", Outcome.REFUTED, "math_wrong_answer")


@pytest.fixture(scope="module")
def filtered(tmp_path_factory):
    """Kept rows, and a refuted one for each prompt, so that every kept row could be in a pair."""
    folder = write_rows(tmp_path_factory.mktemp("rows") / "filter", ROWS)
    wrong = [
        {
            "sample": Sample(f"wrong/{row.id}", row.source, [*row.prompt, Message("assistant", "It is -1.")]),
            "verdict": REFUTED,
        }
        for row in ROWS
    ]
    write_jsonl(folder / "rejected.jsonl", wrong)
    return folder


@pytest.fixture(scope="module")
def packed(prepared, filtered, tmp_path_factory):
    """A finished stage: its inputs, its folder and its figures."""
    inputs = inputs_for(
        prepared,
        filtered,
        pack__held_out=SHARE,
        hybrid__problems=1000,
        hybrid__length_control=CONTROL,
        dpo__refusals=1,
        dpo__pairs="null",
    )
    folder = tmp_path_factory.mktemp("packed") / "pack"
    return inputs, folder, make_packs(inputs, folder)


def rows_of(identities):
    """The rows that documents, twins and pairs are of."""
    return {identity.split("#")[0] for identity in identities}


@pytest.fixture(scope="module")
def held_out_rows(packed):
    inputs, _, _ = packed
    return {row.id for row in ROWS if HeldOut(SHARE, inputs.seed).has(row.id)}


def test_the_share_of_the_rows_is_held_out_and_it_is_the_same_whatever_the_other_rows_are():
    names = [f"row/{number}" for number in range(20_000)]
    held_out = HeldOut(0.05, seed=3)

    found = held_out.among(names)

    assert found.mean() == pytest.approx(0.05, abs=0.005)
    assert held_out.among(names[::-7]).tolist() == found[::-7].tolist()
    assert [held_out.has(name) for name in names[:50]] == found[:50].tolist()
    assert (HeldOut(0.1, seed=3).among(names) >= found).all(), "a larger share holds out these and more"
    assert (HeldOut(0.05, seed=4).among(names) != found).any()
    assert not HeldOut(0.0, seed=3).has(names[0])


def test_the_documents_of_a_row_are_held_out_with_it():
    held_out = HeldOut(0.5, seed=0)

    for number in range(50):
        assert len({held_out.has(f"chats/{number}{turn}") for turn in ("", "#1", "#3", "#1#5")}) == 1


def test_every_document_of_a_held_out_row_is_in_the_held_out_packs_alone(packed, held_out_rows):
    _, folder, figures = packed
    store = TokenStore(folder / "sft")
    identities = np.asarray(list(store.identities()))
    index = PackIndex.load(folder / "sft" / HELD_OUT_INDEX)
    held_out = identities[index.order].tolist()

    assert sorted(held_out) == sorted(name for name in identities.tolist() if rows_of([name]) & held_out_rows)
    assert len(held_out) > len(held_out_rows) > 0.1 * len(ROWS)
    trained = identities[PackIndex.load(folder / "sft" / "index.npz").order].tolist()
    assert trained
    assert not rows_of(trained) & held_out_rows
    assert figures["held_out"]["documents"] == len(held_out)
    assert sum(source["held_out"] for source in figures["sources"]) == len(held_out)


def test_no_held_out_row_reaches_the_hybrid_stage(packed, held_out_rows):
    _, folder, figures = packed
    seen = rows_of(TokenStore(folder / "hybrid").identities())
    prompts = rows_of(row.id for row in read_prompts(folder / "hybrid"))

    thinking = {row.id for row in ROWS if row.id.startswith("math/")}
    assert prompts == thinking - held_out_rows, "all others are drawn"
    assert figures["hybrid"]["paired_problems"] > 100
    assert not seen & held_out_rows


def test_no_held_out_row_is_in_a_preference_pair(packed, held_out_rows):
    _, folder, _ = packed
    pairs = Dataset.load_from_disk(str(folder / "dpo"))
    winners = {winner for _, winner, _ in (identity.split("|") for identity in pairs["id"])}

    assert winners < {row.id for row in ROWS}
    assert len(winners) > 100
    assert not winners & held_out_rows


def test_without_a_share_nothing_is_held_out_and_what_was_is_removed(packed, prepared, filtered, tmp_path):
    _, folder, _ = packed
    assert (folder / "sft" / HELD_OUT_INDEX).exists()

    figures = make_packs(inputs_for(prepared, filtered, hybrid__length_control="null"), folder)

    assert figures["held_out"] is None
    assert not (folder / "sft" / HELD_OUT_INDEX).exists()


def test_a_share_that_holds_nothing_out_is_told(prepared, tmp_path):
    filtered = write_rows(tmp_path / "filter", map(sample, range(40)))
    inputs = inputs_for(prepared, filtered, pack__held_out=0.0001, hybrid__length_control="null")

    with pytest.raises(UserError, match=r"pack\.held_out leaves nothing to hold out: 0 of 40 documents"):
        make_packs(inputs, tmp_path / "pack")
