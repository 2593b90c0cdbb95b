"""The pack stage gives the same bytes whatever happens to it, holds no rows, and says what became of each."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from pack_rows import contents, inputs_for, sample, write_rows

from data_filters.errors import UserError
from data_filters.files import read_jsonl
from data_filters.samples import Message, Mode, Sample
from hermes_train.packing.mixture import MODES
from hermes_train.packing.store import PackIndex, TokenStore
from hermes_train.stages.pack import make_packs


@pytest.fixture(scope="session")
def whole(prepared, tmp_path_factory):
    """A finished stage of 2,500 rows: its inputs, its folder and its figures."""
    folder = tmp_path_factory.mktemp("whole")
    inputs = inputs_for(prepared, write_rows(folder / "filter", map(sample, range(2500))))
    return inputs, folder / "pack", make_packs(inputs, folder / "pack")


def shard_times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("documents-*.arrow")}


def test_every_row_is_a_document_or_counted_with_a_reason(whole):
    _, folder, figures = whole
    store = TokenStore(folder / "sft")

    assert len(list((folder / "sft").glob("documents-*.arrow"))) == 3
    assert sum(source["rows"] for source in figures["sources"]) == 2500
    for source in figures["sources"]:
        assert source["rows"] == source["documents"] + sum(source["dropped"].values())
    assert len(store) == sum(source["documents"] for source in figures["sources"]) > 2400


def test_the_figures_of_the_mixture_are_those_of_the_packs(whole):
    _, folder, figures = whole
    store, index = TokenStore(folder / "sft"), PackIndex.load(folder / "sft" / "index.npz")
    tokens = store.lengths()[index.order]

    assert figures["tokens"] == tokens.sum() == sum(source["seen_tokens"] for source in figures["sources"])
    assert sum(source["seen_label_tokens"] for source in figures["sources"]) == figures["label_tokens"]
    assert sum(source["taken"] for source in figures["sources"]) == len(np.unique(index.order))
    math = next(share for share in figures["shares"] if share["name"] == "math")
    of_math = store.sources()[index.order] == list(store.source_names).index("math")
    assert math["got"] == pytest.approx(tokens[of_math].sum() / tokens.sum())
    assert math["got"] == pytest.approx(math["wanted"], abs=0.01)


def test_two_workers_write_the_bytes_of_one(whole, tmp_path):
    inputs, folder, _ = whole

    make_packs(dataclasses.replace(inputs, workers=2), tmp_path / "pack")

    assert contents(tmp_path / "pack") == contents(folder)


def test_parquet_rows_give_the_tokens_of_json_lines(whole, prepared, tmp_path):
    import pyarrow.parquet

    from data_filters.parquet import sample_columns

    _, folder, _ = whole
    write_rows(tmp_path / "filter", [])
    (tmp_path / "filter" / "kept.jsonl").unlink()
    rows = sample_columns([sample(number) for number in range(2500)])
    pyarrow.parquet.write_table(rows, tmp_path / "filter" / "kept.parquet", row_group_size=700)

    make_packs(inputs_for(prepared, tmp_path / "filter"), tmp_path / "pack")

    for name in ("sft", "hybrid"):
        one, other = TokenStore(folder / name), TokenStore(tmp_path / "pack" / name)
        assert [one.identity(number) for number in range(len(one))] == [
            other.identity(number) for number in range(len(other))
        ]
        assert all((one.input_ids(n) == other.input_ids(n)).all() for n in range(len(one)))


def test_progress_ends_at_the_whole(whole, tmp_path):
    inputs, _, _ = whole
    heard = []

    make_packs(inputs, tmp_path / "pack", lambda done, total: heard.append((done, total)))

    totals = {total for _, total in heard}
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert totals == {heard[-1][0]}


def test_the_hybrid_stage_has_both_modes_cut_thoughts_and_a_replay_of_the_mixture(whole):
    _, folder, figures = whole
    sft, store = TokenStore(folder / "sft"), TokenStore(folder / "hybrid")
    index = PackIndex.load(folder / "sft" / "index.npz")
    trained = {sft.identity(number) for number in np.unique(index.order)}
    identities = [store.identity(number) for number in range(len(store))]
    cut = {name for name in identities if name.endswith("#cut")}
    direct = {name.removesuffix("#direct") for name in identities if name.endswith("#direct")}
    hybrid = figures["hybrid"]

    assert len(direct) == hybrid["paired_problems"] == 40
    assert direct <= set(identities)
    assert len(cut) == hybrid["length_control_documents"] == 11
    made = {*direct, *(f"{name}#direct" for name in direct), *cut}
    replayed = identities[-hybrid["replayed_documents"] :]
    assert len(identities) == len(made) + len(replayed)
    assert set(replayed) <= trained


def test_a_budget_that_keeps_thoughts_out_leaves_the_replay_its_share(prepared, tmp_path):
    rows = [sample(number, thought_words=30 if number % 6 == 0 else 4) for number in range(600)]
    inputs = inputs_for(
        prepared,
        write_rows(tmp_path / "filter", rows),
        hybrid__problems=1000,
        hybrid__replay=0.2,
        hybrid__length_control="{budget: 60, share: 0.1, thoughts: kept}",
    )

    hybrid = make_packs(inputs, tmp_path / "pack")["hybrid"]

    assert hybrid["paired_problems"] == 200
    assert hybrid["replayed_documents"] == round(0.2 * 400 / 0.7)
    assert hybrid["past_budget"] == 0, "what is drawn is trained"
    store = TokenStore(tmp_path / "pack" / "hybrid")
    thinking = store.modes() == MODES.index(Mode.THINK)
    assert hybrid["think_tokens"] == store.lengths()[thinking].sum() > hybrid["direct_tokens"]


def test_what_changed_is_made_anew_and_the_rest_is_kept(whole, prepared, filtered, tmp_path):
    folder = tmp_path / "pack"
    make_packs(inputs_for(prepared, filtered), folder)
    before, times = contents(folder), shard_times(folder / "sft")

    make_packs(inputs_for(prepared, filtered, pack__share_of="documents"), folder)
    assert shard_times(folder / "sft") == times, "another mixture of the same documents"
    assert contents(folder)["sft/index.npz"] != before["sft/index.npz"]

    make_packs(inputs_for(prepared, filtered, pack__history="keep"), folder)
    assert all(times[name] < changed for name, changed in shard_times(folder / "sft").items())

    write_rows(filtered, map(sample, range(1200)))
    make_packs(inputs_for(prepared, filtered), folder)
    assert len(TokenStore(folder / "sft")) <= 1200
    assert len(shard_times(folder / "sft")) == 2


def test_a_shard_that_is_cut_short_is_made_again_alone(prepared, filtered, tmp_path):
    folder = tmp_path / "pack"
    make_packs(inputs_for(prepared, filtered), folder)
    before, times = contents(folder), shard_times(folder / "sft")
    damaged = folder / "sft" / "documents-00001.arrow"
    damaged.write_bytes(damaged.read_bytes()[:-100])

    make_packs(inputs_for(prepared, filtered), folder)

    assert contents(folder) == before
    changed = {name for name, when in shard_times(folder / "sft").items() if when != times[name]}
    assert changed == {"documents-00001.arrow"}


def test_documents_too_long_for_a_pack_wait_for_the_longer_packs_of_the_hybrid_stage(prepared, tmp_path):
    rows = [sample(number, thought_words=90 if number % 20 == 0 else 4) for number in range(400)]
    filtered = write_rows(tmp_path / "filter", rows)
    dropping = make_packs(
        inputs_for(prepared, filtered, pack__length=300, hybrid__length=600), tmp_path / "drop"
    )
    keeping = make_packs(
        inputs_for(prepared, filtered, pack__length=300, hybrid__length=600, pack__too_long="later"),
        tmp_path / "later",
    )

    (dropped,) = (source["dropped"] for source in dropping["sources"] if source["name"] == "math")
    (kept,) = (source for source in keeping["sources"] if source["name"] == "math")
    assert dropped == {"too_long": 20}
    assert (kept["dropped"], kept["later"]) == ({}, 20)
    assert keeping["hybrid"]["long_documents"] == 20
    assert dropping["hybrid"]["long_documents"] == 0
    sft = PackIndex.load(tmp_path / "later" / "sft" / "index.npz")
    assert TokenStore(tmp_path / "later" / "sft").lengths()[sft.order].max() <= 300
    hybrid = TokenStore(tmp_path / "later" / "hybrid")
    identities = [hybrid.identity(number) for number in range(len(hybrid))]
    assert {row.id for row in rows if row.mode is Mode.THINK and len(row.answer.reasoning) > 200} <= set(
        identities
    )


def test_shorter_packs_leave_more_documents_for_the_hybrid_stage_of_the_same_folder(prepared, tmp_path):
    words = {0: 90, 2: 150}
    rows = [sample(number, thought_words=words.get(number % 20, 4)) for number in range(400)]
    filtered = write_rows(tmp_path / "filter", rows)

    def packed(length, folder):
        # Without a replay nothing but the long documents depends on the packs before.
        inputs = inputs_for(
            prepared,
            filtered,
            pack__length=length,
            hybrid__length=1000,
            hybrid__replay=0,
            pack__too_long="later",
        )
        return make_packs(inputs, folder)["hybrid"], contents(folder / "hybrid")

    longer, _ = packed(450, tmp_path / "again")
    again, bytes_again = packed(300, tmp_path / "again")
    fresh, bytes_fresh = packed(300, tmp_path / "fresh")

    assert longer["long_documents"] < again["long_documents"] == fresh["long_documents"]
    assert bytes_again == bytes_fresh


def test_keeping_long_documents_for_packs_that_are_no_longer_is_refused():
    with pytest.raises(
        UserError, match=r"too_long is later, but the packs of the hybrid stage .* are no longer"
    ):
        inputs_for(Path(), Path(), pack__too_long="later")


def test_a_budget_that_no_thought_reaches_is_an_error_that_names_it(prepared, filtered, tmp_path):
    inputs = inputs_for(
        prepared, filtered, hybrid__length_control="{budget: 250, share: 0.1, thoughts: kept}"
    )

    with pytest.raises(UserError, match="budget is 250 tokens, but none of the 1250 kept thoughts is longer"):
        make_packs(inputs, tmp_path / "pack")


def test_rows_without_a_thought_cannot_teach_modes(prepared, tmp_path):
    filtered = write_rows(tmp_path / "filter", (sample(number) for number in range(1, 99, 2)))
    inputs = inputs_for(prepared, filtered, data__sources="[{name: chat, path: none}]")

    with pytest.raises(UserError, match="no kept row has a thought"):
        make_packs(inputs, tmp_path / "pack")


def test_packs_too_short_for_every_document_are_told_with_the_counts(prepared, filtered, tmp_path):
    inputs = inputs_for(prepared, filtered, pack__length=30, hybrid__length_control="null")

    with pytest.raises(
        UserError, match=r"no row became a document of at most pack.length = 30 .* too_long \d+"
    ):
        make_packs(inputs, tmp_path / "out")


def test_no_kept_row_is_said_at_once(prepared, tmp_path):
    with pytest.raises(UserError, match="the filter kept no row"):
        make_packs(inputs_for(prepared, write_rows(tmp_path / "filter", [])), tmp_path / "pack")


def test_a_damaged_file_of_kept_rows_is_named_with_its_line(prepared, filtered, tmp_path):
    kept = filtered / "kept.jsonl"
    kept.write_text(kept.read_text()[:-20] + "\n")

    with pytest.raises(UserError, match=r"line 2500 of .*kept.jsonl.*; run filter again"):
        make_packs(inputs_for(prepared, filtered), tmp_path / "pack")


def test_preference_pairs_are_a_multiple_of_the_global_batch(whole):
    from datasets import Dataset

    _, folder, figures = whole
    rows = Dataset.load_from_disk(str(folder / "dpo"))

    assert len(rows) == sum(figures["dpo"]["pairs"].values()) > 0
    assert len(rows) % 2 == 0
    assert rows[0]["chosen_ids"] != rows[0]["rejected_ids"]


@pytest.mark.real_data
def test_gsm8k_is_packed_whole(shared_data, prepared, tmp_path):
    rows = [
        Sample(
            f"gsm8k/{number}",
            "math",
            # Every fourth row answers at once, so that there is something to refuse.
            [
                Message("user", row["question"]),
                Message("assistant", answer, reasoning=thought if number % 4 else None),
            ],
        )
        for number, row in enumerate(read_jsonl(shared_data / "math" / "gsm8k_train.jsonl"))
        for thought, answer in [row["answer"].split("\n#### ")]
    ]
    filtered = write_rows(tmp_path / "filter", rows)
    sources = "[{name: math, path: none}]"
    control = "{budget: 250, share: 0.1, thoughts: kept}"
    inputs = inputs_for(
        prepared, filtered, pack__length=2048, data__sources=sources, hybrid__length_control=control
    )

    figures = make_packs(inputs, tmp_path / "pack")

    assert sum(source["rows"] for source in figures["sources"]) == len(rows) == 7473
    for source in figures["sources"]:
        assert source["rows"] == source["documents"] == source["seen"]
        assert source["dropped"] == {}
    assert figures["fill"] > 0.95
