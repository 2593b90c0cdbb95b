"""From requests that chat data gets wrong, through the filter, to pairs: whether the filter keeps refusals or not."""

from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from data_filters.figures import FilterFigures
from data_filters.outputs import read_kept, read_rejected
from data_filters.pairs import PairChoice, build_pairs
from data_filters.pipeline import run_filter
from data_filters.samples import Mode, Pair
from data_filters.settings import (
    DataSettings,
    KeepOrDrop,
    RefusalSettings,
    Source,
    UnverifiedSettings,
    VerifySettings,
)
from data_filters.verifiers.refusals import Refusal, find_refusal

SOURCES = [
    Source(name=f"{kind}-{mode}", synthetic=kind, mode=mode, rows=60, seed=1, faults=faults)
    for mode in ("think", "direct")
    for kind, faults in (("requests", 0.4), ("misjudged", 0))
]


def filtered_and_paired(folder: Path, harmless: KeepOrDrop) -> tuple[FilterFigures, list[Pair]]:
    verify = VerifySettings(
        unverified=UnverifiedSettings(think="keep"), refusals=RefusalSettings(harmless=harmless)
    )
    figures = run_filter(DataSettings(sources=SOURCES, verify=verify), [], folder / harmless)
    kept, rejected = partial(read_kept, folder / harmless), partial(read_rejected, folder / harmless)
    return figures, list(build_pairs(kept, rejected, PairChoice(1, 0), folder / "sides"))


@pytest.fixture(scope="module")
def kept_and_dropped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[FilterFigures, list[Pair]]]:
    folder = tmp_path_factory.mktemp("requests")
    return {"keep": filtered_and_paired(folder, "keep"), "drop": filtered_and_paired(folder, "drop")}


def test_every_planted_refusal_is_caught_where_refusals_are_dropped_and_none_where_they_are_kept(
    kept_and_dropped: dict[str, tuple[FilterFigures, list[Pair]]],
) -> None:
    keeping, dropping = (kept_and_dropped[harmless][0].faults["refused"] for harmless in ("keep", "drop"))

    assert dropping.planted == dropping.caught > 10
    assert dropping.caught_by.keys() <= {"refusal_of_harmless_prompt", "duplicate_exact"}
    assert "refusal_of_harmless_prompt" not in keeping.caught_by


def test_kept_or_dropped_a_refusal_loses_to_an_answer_and_wins_over_compliance_in_both_modes(
    kept_and_dropped: dict[str, tuple[FilterFigures, list[Pair]]],
) -> None:
    for _, pairs in kept_and_dropped.values():
        counts = Counter((pair.kind, pair.mode) for pair in pairs)
        for mode in Mode:
            assert counts["refusal", mode] > 10
            assert counts["compliance", mode] > 2
        for pair in (pair for pair in pairs if pair.kind != "trace"):
            refusing = pair.chosen if pair.kind == "compliance" else pair.rejected
            answering = pair.rejected if pair.kind == "compliance" else pair.chosen
            assert find_refusal(refusing.content).refusal is Refusal.FULL, pair
            assert find_refusal(answering.content).refusal is Refusal.NONE, pair
