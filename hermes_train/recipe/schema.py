"""The recipe: one strict, typed tree for one model's whole run.

Every section is frozen and refuses unknown keys, so that a typing mistake is an error with a line number and never a
silently ignored setting. The meaning of a field stands beneath it. This module imports no torch: `hermes-train check`
answers at once on a login node.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_filters.settings import DataSettings, Source

PositiveInt = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]

HERMES_THINK_SYSTEM = (
    "You are a deep thinking AI, you may use extremely long chains of thought to deeply consider the problem and "
    "deliberate with yourself via systematic reasoning processes to help come to a correct solution prior to "
    "answering. You should enclose your thoughts and internal monologue inside <think> </think> tags, and then "
    "provide your solution or response to the problem."
)
"""The reasoning system prompt that the Hermes 4 model card gives, byte for byte."""

HERMES_DIRECT_SYSTEM = "You are Hermes, created by Nous Research."
"""What the Hermes 4 template says when thinking is off and the user gives no system message."""


class Section(BaseModel):
    """What all sections share: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    attention: Literal[
        "auto", "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"
    ] = "auto"
    """`auto` takes FlashAttention where it is installed and SDPA elsewhere; both keep packed documents apart."""

    @model_validator(mode="after")
    def _one_base(self) -> ModelSection:
        if (self.base is None) == (self.random is None):
            raise ValueError("give exactly one of model.base and model.random")
        return self


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
    workers: PositiveInt | None = None
    """Processes that make documents; None takes data.engine.workers, at most as many as this machine has cores."""


class Optimizer(Section):
    """AdamW. The Hermes 4 report names none of these; the defaults are TorchTitan's."""

    beta1: Share = 0.9
    beta2: Share = 0.95
    epsilon: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient."""


class LoraSection(Section):
    """Low-rank adapters on every linear layer but the head; merged when the stage ends."""

    rank: PositiveInt = 16
    alpha: PositiveInt = 32
    dropout: Share = 0.0


class TrainingSection(Section):
    """What the three training stages share."""

    steps: PositiveInt
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    learning_rate: Annotated[float, Field(gt=0)]
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    global_batch: PositiveInt
    """Packs (pairs, for dpo) in one optimizer step, over all ranks and accumulation steps."""
    micro_batch: PositiveInt = 1
    """Packs (pairs) that one rank holds at once."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """bf16 computes in bfloat16 and keeps float32 master weights."""
    optimizer: Optimizer = Optimizer()
    gradient_checkpointing: bool = False
    lora: LoraSection | None = None
    save_every: PositiveInt = 500
    """Steps between checkpoints."""
    keep_checkpoints: Annotated[int, Field(ge=2)] = 2
    """At least two: the older one stays until the newer is known to be whole."""

    @model_validator(mode="after")
    def _steps_fit(self) -> TrainingSection:
        if self.warmup_steps >= self.steps:
            raise ValueError(
                f"warmup_steps ({self.warmup_steps}) must be less than steps ({self.steps}): "
                "the learning rate would never reach its peak"
            )
        if self.global_batch % self.micro_batch:
            raise ValueError(
                f"global_batch ({self.global_batch}) must be a multiple of micro_batch ({self.micro_batch})"
            )
        return self


class SftSection(TrainingSection):
    """Supervised fine-tuning on the mixture."""


class LengthControl(Section):
    """Thoughts cut at a budget and closed by force; loss only on `</think>` and the end token (report, section 3.1)."""

    budget: PositiveInt
    """Tokens of thought after which it is closed."""
    share: Share = 0.1
    """Share of the stage's documents that are of this kind."""


class HybridSection(TrainingSection):
    """The same problems with and without a thought, so that the mode obeys the request."""

    length: PositiveInt | None = None
    """Tokens in a pack of this stage; None takes pack.length."""
    problems: PositiveInt
    """How many problems are seen in both modes."""
    replay: Share = 0.2
    """Share of the stage's documents drawn again from the SFT mixture."""
    length_control: LengthControl | None = None

    @model_validator(mode="after")
    def _shares_leave_room(self) -> HybridSection:
        length_share = self.length_control.share if self.length_control else 0.0
        if self.replay + length_share >= 1.0:
            raise ValueError(
                f"replay ({self.replay}) and length_control.share ({length_share}) leave nothing for the paired "
                "problems: their sum must be below 1"
            )
        return self


class DpoSection(TrainingSection):
    """Direct preference optimisation on pairs of verified and refuted answers."""

    beta: Annotated[float, Field(gt=0)] = 0.1
    loss: Literal["sigmoid", "ipo", "hinge", "robust", "apo_zero", "apo_down", "sppo_hard", "nca_pair"] = (
        "sigmoid"
    )
    sft_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of an additional SFT loss on the chosen answer."""
    refusals: Share = 0.2
    """Share of kept direct answers that are paired with a refusal as the rejected side."""
    pairs: PositiveInt | None = None
    """At most so many pairs; None takes all."""
    max_length: PositiveInt = 1024
    """Tokens; a pair with a longer side is dropped and counted."""


class ParallelSection(Section):
    """How the model is spread over ranks."""

    zero_stage: Literal[0, 2, 3] = 3
    """DeepSpeed's ZeRO stage when there are several ranks; 0 is plain data parallelism."""
    sequence_parallel: Literal[1] = 1
    offload: Literal["none", "cpu"] = "none"
    """Where ZeRO keeps optimizer state (and, at stage 3, parameters)."""


class TokenBudgets(Section):
    """Most new tokens per answer."""

    think: PositiveInt = 4096
    direct: PositiveInt = 1024


class EvaluateSection(Section):
    """Held-out problems, answered greedily in both modes after each training stage."""

    problems: Annotated[list[Source], Field(min_length=1)]
    """Their prompts are also what the contamination check keeps out of training."""
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
    gpu: Literal["h100", "h200", "b200", "a100"] = "h100"


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
        return self
