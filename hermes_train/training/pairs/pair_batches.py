"""Preference pairs as the trainer reads them: whole pairs laid end to end in rows.

Each answer stands after a prompt of its own, with positions that restart, so that nothing is padded but the row's end:

    prompt 7 | chosen 7 | prompt 2 | chosen 2 | prompt 7 | rejected 7 | prompt 2 | rejected 2 | padding

The prompt is not shared by the two answers: that would need an attention mask that the fast kernels do not take.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from datasets import Dataset

from hermes_train.chat.labels import IGNORED
from hermes_train.packing.mixture import MODES
from hermes_train.recipe.training_sections import DpoSection
from hermes_train.training.pairs.pair_plan import PairLengths, RowPlan, plan_rows

_SIDES = ("prompt_ids", "chosen_ids", "rejected_ids")

Row = dict[str, np.ndarray]


class PairData:
    """The tokenised pairs of a DPO stage, as `packing.preferences` wrote them."""

    def __init__(self, folder: Path, pad_token_id: int) -> None:
        self._folder = folder
        self._pad_token_id = pad_token_id
        self._table = Dataset.load_from_disk(str(folder)).with_format("numpy", columns=list(_SIDES))

    def __reduce__(self) -> tuple[type[PairData], tuple[Path, int]]:
        """Go to another process as a path: what lies on disk is opened there again."""
        return PairData, (self._folder, self._pad_token_id)

    def __len__(self) -> int:
        return len(self._table)

    @cached_property
    def lengths(self) -> PairLengths:
        """The lengths of all pairs."""
        columns = (self._table.data.column(name) for name in _SIDES)
        return PairLengths(*(pc.list_value_length(column).to_numpy().astype(np.int64) for column in columns))

    @cached_property
    def modes(self) -> np.ndarray:
        """The mode of each pair as a place in MODES, int64."""
        names = self._table.data.column("mode").to_pylist()
        return np.array([MODES.index(name) for name in names], np.int64)

    def ids(self, pairs: Sequence[int]) -> list[str]:
        """Return the names of some pairs."""
        return [self._table.data.column("id")[int(pair)].as_py() for pair in pairs]

    def fingerprint(self) -> str:
        """Return 32 hexadecimal digits that name the tokens of all pairs, however they are stored."""
        content = hashlib.blake2b(digest_size=16)
        for name, lengths in zip(
            _SIDES, (self.lengths.prompts, self.lengths.chosen, self.lengths.rejected), strict=True
        ):
            content.update(lengths.tobytes())
            for chunk in self._table.data.column(name).chunks:
                content.update(chunk.flatten().to_numpy().data)
        return content.hexdigest()

    def row(self, pairs: Sequence[int] | np.ndarray, length: int) -> Row:
        """Return some pairs as one row of `length` tokens.

        `row_ids`, `position_ids` and `row_labels`: int64 (length,), the padded tail a document of its own.
        `document_edges`: int32, where documents begin, and the length at last.
        `attention_mask`: int64 (length,), 0 on the padding; TRL counts tokens by it. `input_ids`: int64 (2 x pairs,
        1 + longest answer), the chosen answers and then the rejected ones, each behind a token that carries no loss,
        and `completion_mask`, which is 1 on answers: the labels of the row in the same order, one line for each answer,
        as TRL's losses take them. `pairs` and their `modes`: int64 (pairs,).
        """
        tokens = [self._table[int(pair)] for pair in pairs]
        sides = [(pair["prompt_ids"], pair[name]) for name in _SIDES[1:] for pair in tokens]
        ids = np.full(length, self._pad_token_id, np.int64)
        labels = np.full(length, IGNORED, np.int64)
        positions = np.arange(length)
        longest = max(len(answer) for _, answer in sides)
        answer_ids = np.full((len(sides), 1 + longest), self._pad_token_id, np.int64)
        completion_mask = np.zeros_like(answer_ids)
        start = 0
        for line, (prompt, answer) in enumerate(sides):
            first, end = start + len(prompt), start + len(prompt) + len(answer)
            ids[start:first] = prompt
            ids[first:end] = labels[first:end] = answer
            answer_ids[line, 1 : 1 + len(answer)] = answer
            completion_mask[line, 1 : 1 + len(answer)] = 1
            positions[end:] -= end - start
            start = end
        return {
            "row_ids": ids,
            "position_ids": positions,
            "row_labels": labels,
            "document_edges": np.append(np.flatnonzero(positions == 0), length).astype(np.int32),
            "attention_mask": (np.arange(length) < start).astype(np.int64),
            "input_ids": answer_ids,
            "completion_mask": completion_mask,
            "pairs": np.asarray(pairs, np.int64),
            "modes": self.modes[pairs],
        }


@dataclass(frozen=True)
class PairRows:
    """The rows of a run, in the order in which they are trained on."""

    data: PairData
    plan: RowPlan

    def as_dataset(self) -> Dataset:
        """Return the rows as a data set for TRL; they are made when they are read."""
        return Dataset.from_dict({"row": np.arange(self.plan.rows)}).with_transform(self._made)

    def _made(self, batch: dict[str, list[int]]) -> dict[str, list[np.ndarray]]:
        rows = [self._row(number) for number in batch["row"]]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def _row(self, number: int) -> Row:
        step, place = divmod(number, self.plan.pairs.shape[1])
        chosen_tokens = self.data.lengths.chosen[self.plan.pairs[step]].sum(axis=-1)
        # A ratio of whole numbers: under DeepSpeed the Trainer rounds floats among the inputs to bfloat16.
        share = np.array([chosen_tokens[place] * len(chosen_tokens), chosen_tokens.sum()], np.int64)
        row = self.data.row(self.plan.pairs[step, place], int(self.plan.row_lengths[step, place]))
        return row | {"chosen_share": share}

    def step_tokens(self, step: int) -> tuple[int, int]:
        """Return (tokens, labelled tokens) of a step, counted from 0, padding left out."""
        pairs, lengths = self.plan.pairs[step], self.data.lengths
        return int(lengths.tokens[pairs].sum()), int(lengths.answers[pairs].sum())

    def step_lengths(self, step: int) -> np.ndarray:
        """Return the tokens of each answer with its prompt, of a step counted from 0, int64."""
        pairs, lengths = self.plan.pairs[step].ravel(), self.data.lengths
        prompts = lengths.prompts[pairs]
        return np.concatenate([prompts + lengths.chosen[pairs], prompts + lengths.rejected[pairs]])

    def step_documents(self, step: int) -> list[str]:
        """Return the names of the pairs of a step, counted from 0."""
        return self.data.ids(self.plan.pairs[step].ravel())


def pair_rows(folder: Path, pad_token_id: int, dpo: DpoSection, seed: int, ranks: int) -> PairRows:
    """Return the rows of a DPO stage whose pairs are in `folder`.

    A row has room for `micro_batch` pairs of the greatest length.
    """
    data = PairData(folder, pad_token_id)
    capacity = dpo.micro_batch * 2 * dpo.max_length
    plan = plan_rows(data.lengths, seed, dpo.steps, dpo.global_batch, ranks, dpo.micro_batch, capacity)
    return PairRows(data, plan)


def collate_row(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the one row of a micro-batch as tensors.

    `row` is what the model reads, with a first axis of 1 row and the documents' edges by the names that transformers
    has for its attention kernels. Raises ValueError for several rows: a row holds as many pairs as fit already.
    """
    if len(rows) != 1:
        raise ValueError(f"a micro-batch is one row of pairs, not {len(rows)}")
    found: dict[str, Any] = {name: torch.as_tensor(np.asarray(value)) for name, value in rows[0].items()}
    read = {"input_ids": "row_ids", "position_ids": "position_ids", "labels": "row_labels"}
    row: dict[str, Any] = {name: found.pop(source)[None] for name, source in read.items()}
    edges = found.pop("document_edges")
    longest = int(edges.diff().max())
    row |= {"cu_seq_lens_q": edges, "cu_seq_lens_k": edges, "max_length_q": longest, "max_length_k": longest}
    return found | {"row": row}
