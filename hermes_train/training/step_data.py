"""What the batch of an optimizer step is made of, by the number of the step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hermes_train.packing.dataset import PackedData


class StepData(Protocol):
    """The data of a training stage, step by step; steps are counted from 0."""

    def step_tokens(self, step: int) -> tuple[int, int]:
        """Return (tokens, labelled tokens), padding left out."""

    def step_lengths(self, step: int) -> np.ndarray:
        """Return the tokens of each sequence that attends within itself, int64."""

    def step_documents(self, step: int) -> list[str]:
        """Return the ids of the documents, or pairs."""


@dataclass(frozen=True)
class PackSteps:
    """The steps of a stage that trains on packs, as StepData."""

    data: PackedData
    seed: int
    global_batch: int

    def step_tokens(self, step: int) -> tuple[int, int]:
        """Return (tokens, labelled tokens), padding left out."""
        return self.data.step_tokens(self.seed, self.global_batch, step)

    def step_lengths(self, step: int) -> np.ndarray:
        """Return the tokens of each document, int64."""
        return self.data.step_lengths(self.seed, self.global_batch, step)

    def step_documents(self, step: int) -> list[str]:
        """Return the ids of the documents."""
        return self.data.step_documents(self.seed, step, self.global_batch)
