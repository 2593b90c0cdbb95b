"""What became of each source in each mode, from its rows to the packs, and the shares that were wanted and got."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from data_filters.samples import Mode
from hermes_train.packing.mixture import MODES, Part, Stock
from hermes_train.packing.shards import RowCounts
from hermes_train.recipe.schema import PackSection


def mixture_figures(
    stock: Stock,
    label_tokens: np.ndarray,
    counts: Sequence[RowCounts],
    times: np.ndarray,
    parts: Sequence[Part],
    pack: PackSection,
    later: np.ndarray,
    held_out: np.ndarray,
) -> dict[str, Any]:
    """Return `sources`, a row for each source and mode, and `shares`, a row for each source and mode with a share.

    `times` is how often each document is seen; `later` are the numbers of documents kept for another stage,
    `held_out` of those that none trains.
    """
    number = len(stock.names) * len(MODES)

    def by_cell(amounts: np.ndarray, documents: np.ndarray | slice = slice(None)) -> list[int]:
        # Sums of whole numbers below 2**53 are exact in floats.
        return np.bincount(stock.cells[documents], amounts, minlength=number).astype(np.int64).tolist()

    sums = {
        "later": by_cell(np.ones(len(later)), later),
        "held_out": by_cell(np.ones(len(held_out)), held_out),
        "taken": by_cell((times > 0).astype(np.int64)),
        "seen": by_cell(times),
        "seen_tokens": by_cell(times * stock.tokens),
        "seen_label_tokens": by_cell(times * label_tokens),
    }
    rows = []
    for count in counts:
        cell = stock.names.index(count.name) * len(MODES) + MODES.index(count.mode)
        rows.append(msgspec.to_builtins(count) | {name: values[cell] for name, values in sums.items()})
    amounts = np.asarray(sums["seen_tokens" if pack.share_of == "tokens" else "seen"]).reshape(-1, len(MODES))
    return {"sources": rows, "share_of": pack.share_of, "shares": _shares(stock, amounts, parts, pack)}


def _shares(
    stock: Stock, amounts: np.ndarray, parts: Sequence[Part], pack: PackSection
) -> list[dict[str, Any]]:
    whole = float(amounts.sum())
    shares = [
        {"of": "source", "name": name, "wanted": part.share, "got": float(got) / whole}
        for name, part, got in zip(stock.names, parts, amounts.sum(axis=1), strict=True)
    ]
    if pack.think_share is not None:
        wanted = {Mode.DIRECT: 1.0 - pack.think_share, Mode.THINK: pack.think_share}
        shares += [
            {"of": "mode", "name": str(mode), "wanted": wanted[mode], "got": float(got) / whole}
            for mode, got in zip(MODES, amounts.sum(axis=0), strict=True)
        ]
    return shares
