"""What the files of a run folder hold, as types. Each stage writes its own; the report reads them all.

One line of `sft/metrics.jsonl`:

    {"step": 1, "loss": 2.31, "lr": 1e-05, "grad_norm": 4.2, "tokens": 1024, "label_tokens": 610,
     "seconds": 3.9}
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

import msgspec

from data_filters.samples import Mode
from hermes_train.evaluation.scores import ModeScore

Figures = TypeVar("Figures")


TRAINING_STAGES = ("sft", "hybrid", "dpo")

MODELS = ("base", *TRAINING_STAGES)
"""The models that are evaluated, in the order in which they come to be."""


class RunCard(msgspec.Struct, frozen=True):
    """`run.json`: what the run is."""

    name: str
    recipe: str
    base: str
    created: datetime
    description: str = ""
    seed: int | None = None
    versions: dict[str, str] = {}


class Manifest(msgspec.Struct, Generic[Figures], frozen=True):
    """`<stage>/manifest.json`: written when the stage is done, and only then."""

    stage: str
    finished: datetime
    seconds: float
    figures: Figures
    inputs: dict[str, Any] = {}
    """Fingerprints of what the stage read, by name."""


class PackedSource(msgspec.Struct, frozen=True):
    """What one source gave to the packs in one mode, from its rows to the documents that are seen."""

    name: str
    mode: str
    rows: int
    documents: int
    tokens: int
    label_tokens: int
    later: int
    """Documents kept for the longer packs of the hybrid stage."""
    taken: int
    """Documents in the mixture, each counted once."""
    seen: int
    """The same, each counted as often as it is seen."""
    seen_tokens: int
    seen_label_tokens: int
    dropped: dict[str, int] = {}
    held_out: int = 0
    """Documents that no stage trains."""


class MixtureShare(msgspec.Struct, frozen=True):
    """The share of a source or a mode in the mixture; `wanted` is None where the recipe asks for none."""

    of: Literal["source", "mode"]
    name: str
    wanted: float | None
    got: float


class LengthHistogram(msgspec.Struct, frozen=True):
    """Documents by length in tokens: `counts[i]` of them lie between `edges[i]` and `edges[i + 1]`."""

    edges: list[float]
    counts: list[int]

    def __post_init__(self) -> None:
        """Raise ValueError unless there is one more edge than there are counts."""
        if len(self.edges) != len(self.counts) + 1:
            counts, edges = len(self.counts), len(self.edges)
            raise ValueError(f"{counts} counts need {counts + 1} edges, got {edges}")


class PackFigures(msgspec.Struct, frozen=True):
    """The figures of `pack/manifest.json`."""

    length: int
    packs: int
    documents: int
    tokens: int
    label_tokens: int
    fill: float
    sources: list[PackedSource]
    share_of: Literal["tokens", "documents"] = "tokens"
    shares: list[MixtureShare] = []
    think_tokens: int | None = None
    direct_tokens: int | None = None
    length_histogram: LengthHistogram | None = None


class SampledThoughts(msgspec.Struct, frozen=True):
    """What thinking anew gave to length control; `dropped` by reason."""

    prompts: int
    past_budget: int
    """Thoughts that did not end within the budget."""
    used: int
    dropped: dict[str, int] = {}


class TrainingFigures(msgspec.Struct, frozen=True):
    """The figures of a training stage's manifest; the last fields are of hybrid or dpo only."""

    steps: int
    seconds: float
    tokens: int
    final_loss: float | None
    """None when the loss was not a number."""
    model_step: int | None = None
    """The step that the finished model is of."""
    held_out_loss: float | None = None
    """Of that step; None where no rows are held out."""
    last_held_out_loss: float | None = None
    """Of the last step."""
    paired_problems: int | None = None
    length_control_documents: int | None = None
    length_control: SampledThoughts | None = None
    replayed_documents: int | None = None
    pairs: dict[str, int] = {}
    """Preference pairs by kind."""
    dropped: dict[str, int] = {}
    """Preference pairs that were not used, by reason."""


class StepMetrics(msgspec.Struct, frozen=True):
    """One line of `metrics.jsonl`. `seconds` is this step's own time.

    None stands for what was not a number or was not logged.
    """

    step: int
    tokens: int
    label_tokens: int
    seconds: float
    loss: float | None = None
    lr: float | None = None
    grad_norm: float | None = None
    loss_think: float | None = None
    loss_direct: float | None = None
    held_out_loss: float | None = None
    held_out_loss_think: float | None = None
    held_out_loss_direct: float | None = None
    mfu: float | None = None
    reward_margin: float | None = None
    reward_accuracy: float | None = None
    chosen_log_probability: float | None = None


class Scores(msgspec.Struct, frozen=True):
    """`evaluate/<model>/scores.json`."""

    model: str
    seconds: float
    modes: dict[Mode, ModeScore]


class ExportedFile(msgspec.Struct, frozen=True):
    """One file of the exported model."""

    name: str
    bytes: int


class ExportedChat(msgspec.Struct, frozen=True):
    """One exchange with the exported model after it was opened again."""

    mode: Mode
    prompt: str
    answer: str


class ExportFigures(msgspec.Struct, frozen=True):
    """The figures of `export/manifest.json`."""

    files: list[ExportedFile]
    tensors: int
    parameters: int
    chats: list[ExportedChat] = []
