"""Packs into the batch that the model takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling


@dataclass
class PackCollator(DataCollatorForLanguageModeling):
    """TRL's collator for packs, with the mode of each token beside its label.

    {"input_ids": [[1, 5, 9, 1, 7]], "labels": [[-100, 5, 9, -100, 7]], "position_ids": [[0, 1, 2, 0, 1]],
     "modes": [[1, 1, 1, 0, 0]], "cu_seq_lens_q": [0, 3, 5], ...}

    Several packs are laid end to end: a micro-batch is one row, and documents know no pack.
    """

    padding_free: bool = True

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the batch of some rows of `PackedData.as_dataset`."""
        batch = super().torch_call(examples)
        modes = torch.tensor([mode for row in examples for mode in row["modes"]], dtype=torch.int8)
        lengths = torch.tensor([length for row in examples for length in row["seq_lengths"]])
        batch["modes"] = modes.repeat_interleave(lengths)[None]
        return batch
