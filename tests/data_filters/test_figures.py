"""Figures of parts add up to those of the whole."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from data_filters.figures import OTHER_FAULTS, FilterFigures
from data_filters.judged import JudgedRow
from data_filters.samples import Check, Message, Outcome, Sample, Verdict

REASONS = ("math_wrong_answer", "math_timeout", "think_empty")


@st.composite
def judged_rows(draw: Any) -> JudgedRow:
    source = draw(st.sampled_from(["a", "b"]))
    kept = draw(st.booleans())
    outcome = Outcome.VERIFIED if kept else draw(st.sampled_from([Outcome.REFUTED, Outcome.FAILED]))
    reason = "math_correct_exact" if kept else draw(st.sampled_from(REASONS))
    meta = draw(st.sampled_from([{}, {"fault": "wrong_step"}, {"label": True}, {"label": False}]))
    answer = Message("assistant", draw(st.text(max_size=5)))
    sample = Sample("1", source, [Message("user", "?"), answer], meta=meta)
    checks = [Check("task", outcome, reason)]
    return JudgedRow(
        source, Verdict("1", outcome, reason, checks), kept, sample=sample, seconds={"task": 0.5}
    )


def counted(rows: list[JudgedRow]) -> FilterFigures:
    figures = FilterFigures()
    for row in rows:
        figures.add_row(row, is_synthetic=row.source == "b")
    return figures


@given(st.lists(st.lists(judged_rows(), max_size=12), max_size=4))
def test_figures_of_shards_add_up_to_those_of_all_rows(shards: list[list[JudgedRow]]) -> None:
    merged = FilterFigures()
    for shard in shards:
        merged.merge(counted(shard))

    assert merged == counted([row for shard in shards for row in shard])


@given(judged_rows())
def test_a_kept_row_that_is_taken_out_counts_as_if_it_had_never_been_kept(row: JudgedRow) -> None:
    if not row.kept or row.sample is None:
        return
    figures = counted([row])
    check = Check("duplicates", Outcome.REFUTED, "duplicate_exact", "same conversation as 0")

    row.reject(check)
    figures.reject_kept(row.source, row.sample, row.verdict, check, is_synthetic=row.source == "b")

    expected = counted([row])
    # An example of a disputed label shows what was known when it was made.
    figures.label_disputes = expected.label_disputes
    assert figures == expected


def test_rows_cannot_make_the_figures_grow_without_end() -> None:
    rows = [
        JudgedRow(
            "a",
            Verdict("1", Outcome.VERIFIED, "ok"),
            kept=True,
            sample=Sample("1", "a", [Message("assistant", "x")], meta={"fault": f"kind {number}"}),
        )
        for number in range(500)
    ]

    faults = counted(rows).faults

    assert len(faults) <= 101
    assert sum(fault.planted for fault in faults.values()) == 500
    assert faults[OTHER_FAULTS].planted == 400


def test_a_layer_that_one_worker_lacked_is_off_for_the_run() -> None:
    figures = FilterFigures(sandbox={"seccomp": "on", "cgroup": "on"})

    figures.merge(FilterFigures(sandbox={"seccomp": "on", "cgroup": "not ours"}))
    figures.merge(FilterFigures())

    assert figures.sandbox == {"seccomp": "on", "cgroup": "not ours"}
