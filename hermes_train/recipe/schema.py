"""The recipe: one strict, typed tree for one model's whole run.

Every section is frozen and refuses unknown keys, so that a typing mistake is an error with a line number and never a
silently ignored setting. The meaning of a field stands beneath it. This module imports no torch: `hermes-train check`
answers at once on a login node.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from data_filters.settings import DataSettings, Source
from hermes_train.recipe.section import PositiveInt, Section, Share
from hermes_train.recipe.training_sections import DpoSection, HybridSection, ParallelSection, SftSection

HERMES_THINK_SYSTEM = (
    "You are a deep thinking AI, you may use extremely long chains of thought to deeply consider the problem and "
    "deliberate with yourself via systematic reasoning processes to help come to a correct solution prior to "
    "answering. You should enclose your thoughts and internal monologue inside <think> </think> tags, and then "
    "provide your solution or response to the problem."
)
"""The reasoning system prompt that the Hermes 4 model card gives, byte for byte."""

HERMES_DIRECT_SYSTEM = "You are Hermes, created by Nous Research."
"""What the Hermes 4 template says when thinking is off and the user gives no system message."""


class RandomModel(Section):
    """A Llama of random weights with a byte-level tokenizer: for trying the pipeline, not for use."""

    hidden_size: PositiveInt = 64
    layers: PositiveInt = 2
    heads: PositiveInt = 4
    key_value_heads: PositiveInt = 2
    intermediate_size: PositiveInt = 128
    max_position_embeddings: PositiveInt = 4096
    tied_embeddings: bool = False

    @model_validator(mode="after")
    def _heads_divide(self) -> RandomModel:
        if self.hidden_size % self.heads:
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be a multiple of heads ({self.heads}), "
                "since each head takes an equal part of it"
            )
        if self.heads % self.key_value_heads:
            raise ValueError(
                f"heads ({self.heads}) must be a multiple of key_value_heads ({self.key_value_heads})"
            )
        return self


class SystemPrompts(Section):
    """What the chat template says when a conversation brings no system message of its own."""

    think: str | Annotated[list[str], Field(min_length=1)] = HERMES_THINK_SYSTEM
    """A list varies it: one is drawn for each conversation; the first is what the exported template says."""
    direct: str | Annotated[list[str], Field(min_length=1)] = HERMES_DIRECT_SYSTEM
    """The same for answers without a thought."""
    place: Literal["before", "after"] = "before"
    """Where the request to think stands beside a conversation's own system message."""

    @property
    def think_prompts(self) -> list[str]:
        """The prompts for think mode; at least one."""
        return [self.think] if isinstance(self.think, str) else self.think

    @property
    def direct_prompts(self) -> list[str]:
        """The prompts for direct mode; at least one."""
        return [self.direct] if isinstance(self.direct, str) else self.direct


Attention = Literal[
    "auto",
    "eager",
    "sdpa",
    "varlen",
    "flex_attention",
    "flash_attention_2",
    "flash_attention_3",
    "flash_attention_4",
]

SEPARATES_BY_POSITIONS = ("varlen", "flash_attention_2", "flash_attention_3", "flash_attention_4")
"""Attention paths that keep documents apart by positions alone, without a mask. Ulysses drops masks, so that ranks can
share packs on these only."""


class ModelSection(Section):
    """The base model and the form of its conversations."""

    base: str | None = None
    """A folder, a Hub id, or `package:NAME/FILE.gguf` for a GGUF file inside an installed Python package."""
    random: RandomModel | None = None
    """Random weights instead of a base."""
    revision: str = "main"
    template: Literal["llama3", "chatml", "base"]
    """The form of its conversations; `base` takes the chat template that the base model brings."""
    system: SystemPrompts = SystemPrompts()
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """The dtype in which the prepared base and the exported model are stored."""
    attention: Attention = "auto"
    """`auto` takes the FlashAttention that fits the GPU where one is installed, and elsewhere `varlen`, PyTorch's own
    attention within documents. All of them keep packed documents apart, which is tried before the first step."""

    @model_validator(mode="after")
    def _one_base(self) -> ModelSection:
        if (self.base is None) == (self.random is None):
            raise ValueError("give exactly one of model.base and model.random")
        return self

    @property
    def given_folder(self) -> Path | None:
        """The folder that `base` names, whether or not it is there; None for every other base."""
        base = self.base or ""
        is_path = base.startswith((".", "/", "~")) or base.count("/") > 1
        return Path(base).expanduser() if is_path and not base.startswith("package:") else None


class PackSection(Section):
    """How documents become packs."""

    length: PositiveInt
    """Tokens in a pack."""
    history: Literal["keep", "strip", "expand"] = "expand"
    """Earlier thoughts of a conversation: kept, stripped, or one document per assistant turn as it is seen in use."""
    too_long: Literal["drop", "later"] = "drop"
    """What becomes of a document longer than a pack: dropped, or kept for the hybrid stage, whose packs are longer."""
    control_text: Literal["as_text", "drop"] = "as_text"
    """What becomes of control tokens that a user's, a tool's or a system text spells out: they are tokenised as plain
    text, or the conversation is dropped."""
    think_share: Share | None = None
    """Share of the mixture in think mode; the side that has too much is thinned. None keeps what the sources give."""
    share_of: Literal["tokens", "documents"] = "tokens"
    """What shares are of: `think_share`, and `share` of the sources."""
    held_out: Annotated[float, Field(ge=0, le=0.2)] = 0.0
    """Share of the kept rows that no stage trains, drawn by the seed and the row's id: SFT and hybrid tell the loss on
    their documents."""
    workers: PositiveInt | None = None
    """Processes that make documents; None takes data.engine.workers, at most as many as this machine has cores. With
    `data.engine.executor: slurm` the jobs of the array; None takes data.engine.workers."""


class TokenBudgets(Section):
    """Most new tokens per answer."""

    think: PositiveInt = 4096
    direct: PositiveInt = 1024


class EvaluateSection(Section):
    """Held-out problems, answered greedily in both modes after each training stage."""

    problems: Annotated[list[Source], Field(min_length=1)]
    """Their prompts are also what the contamination check keeps out of training. Those without a task are asked to see
    whether they are refused; `meta.category` says where a refusal is right (`data.verify.refusals`)."""
    max_new_tokens: TokenBudgets = TokenBudgets()
    batch_size: PositiveInt = 16
    samples: PositiveInt = 4
    """Answers per stage and mode that the report shows in full."""


class ExportSection(Section):
    """The model as users get it."""

    shard_size: str = "5GB"
    licence: str = "other"
    """The licence named in the model card."""


class WandbSection(Section):
    """Weights & Biases; the run's id is kept in the run folder, so that a continued run stays one run."""

    mode: Literal["online", "offline", "disabled"] = "disabled"
    project: str = "hermes-train"
    entity: str | None = None


class TrackingSection(Section):
    """Where figures go besides `metrics.jsonl`."""

    wandb: WandbSection = WandbSection()


class ClusterSection(Section):
    """The machines that the recipe is meant for."""

    nodes: PositiveInt = 1
    gpus_per_node: PositiveInt = 8
    gpu: Literal["h100", "h200", "b200", "a100", "none"] = "h100"
    """none: ranks train on CPUs, `gpus_per_node` of them on each node, and no GPU is asked for."""


class Recipe(Section):
    """One model's whole run."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    """Also the name of the run's folder."""
    description: str = ""
    seed: Annotated[int, Field(ge=0)] = 0
    model: ModelSection
    data: DataSettings
    pack: PackSection
    sft: SftSection
    hybrid: HybridSection
    dpo: DpoSection
    parallel: ParallelSection = ParallelSection()
    evaluate: EvaluateSection
    export: ExportSection = ExportSection()
    tracking: TrackingSection = TrackingSection()
    cluster: ClusterSection = ClusterSection()

    @model_validator(mode="after")
    def _lengths_agree(self) -> Recipe:
        control = self.hybrid.length_control
        key, length = "hybrid.length", self.hybrid.length
        if length is None:
            key, length = "pack.length", self.pack.length
        if control and control.budget >= length:
            raise ValueError(
                f"hybrid.length_control.budget ({control.budget}) must be less than {key} "
                f"({length}): a cut thought must fit in a pack with its answer"
            )
        unknown = (
            set(control.sources or ()) - {source.name for source in self.data.sources} if control else set()
        )
        if unknown:
            raise ValueError(
                f"hybrid.length_control.sources names {', '.join(sorted(unknown))}, but data.sources has "
                f"{', '.join(source.name for source in self.data.sources)}"
            )
        if self.pack.too_long == "later" and length <= self.pack.length:
            raise ValueError(
                f"pack.too_long is later, but the packs of the hybrid stage ({key} {length}) are no longer than "
                f"pack.length ({self.pack.length}); give a longer hybrid.length or drop what is too long"
            )
        positions = self.model.random.max_position_embeddings if self.model.random else None
        if positions is not None and self.pack.length > positions:
            raise ValueError(
                f"pack.length ({self.pack.length}) exceeds model.random.max_position_embeddings ({positions})"
            )
        for name, tokens in (("pack.length", self.pack.length), (key, length)):
            if tokens % self.parallel.sequence_parallel:
                raise ValueError(
                    f"{name} ({tokens}) must be a multiple of parallel.sequence_parallel "
                    f"({self.parallel.sequence_parallel}): each rank takes an equal part of a pack"
                )
        return self

    @model_validator(mode="after")
    def _held_out_is_there(self) -> Recipe:
        if self.pack.held_out:
            return self
        for stage, section in (("sft", self.sft), ("hybrid", self.hybrid)):
            asked = f"{stage}.evaluate_every ({section.evaluate_every})" if section.evaluate_every else ""
            asked = f"{stage}.keep_best (true)" if section.keep_best else asked
            if asked:
                raise ValueError(
                    f"{asked} goes by the loss on held-out documents, and pack.held_out (0) holds none out; give it "
                    f"the share of rows to hold out, such as 0.01, or leave {asked.split()[0]} out"
                )
        return self
