"""The sections of the three training stages, and how their model is spread over ranks. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hermes_train.recipe.section import PositiveInt, Section, Share


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
    quantize: Literal["none", "nf4"] = "none"
    """`nf4` keeps the weights beneath the adapters in four bits while they are trained (QLoRA, one GPU or ZeRO up to
    stage 2); what is saved is merged into the weights as they were before."""


class SpikeSection(Section):
    """What is done about a step whose loss leaps; a loss that is no number always stops the run."""

    action: Literal["warn", "stop"] = "warn"
    """`stop` ends the run before another checkpoint is written, and saves the ids of the step's documents."""
    window: Annotated[int, Field(ge=8)] = 50
    """Steps that a loss is compared with."""
    deviations: Annotated[float, Field(gt=0)] = 6.0
    """A spike is above the window's mean by so many of its standard deviations ..."""
    ratio: Annotated[float, Field(gt=1)] = 1.5
    """... and by this factor."""


class TrainingSection(Section):
    """What the three training stages share."""

    steps: PositiveInt
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    learning_rate: Annotated[float, Field(gt=0)]
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    global_batch: PositiveInt
    """Packs (pairs, for dpo) in one optimizer step, over all ranks and accumulation steps."""
    micro_batch: PositiveInt = 1
    """Packs that one rank holds at once; for dpo, pairs of the greatest length, in whose room more shorter ones go."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """bf16 computes in bfloat16 and keeps float32 master weights."""
    optimizer: Optimizer = Optimizer()
    gradient_checkpointing: bool = False
    activation_offload: bool = False
    """Keep activations in the memory of the CPU between the forward and the backward pass."""
    kernels: Literal["auto", "liger", "torch"] = "auto"
    """`liger`: Liger's kernels for norms, rotary positions and feed-forward layers; `auto` takes them on a GPU where
    they are installed."""
    lora: LoraSection | None = None
    save_every: PositiveInt = 500
    """Steps between checkpoints."""
    keep_checkpoints: Annotated[int, Field(ge=2)] = 2
    """At least two: the older one stays until the newer is known to be whole."""
    spikes: SpikeSection = SpikeSection()

    @property
    def checkpoints_kept(self) -> int:
        """Checkpoints that stay while the stage trains."""
        return self.keep_checkpoints

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


class PackTrainingSection(TrainingSection):
    """What the stages that train on packs share."""

    skip_documents: str | list[str] | None = None
    """Documents to learn nothing from, by id or by a file `stopped_at_step_<n>.json`; they stay in their packs, so that
    a run goes on from its last checkpoint in the same order. Makes no stage out of date."""
    evaluate_every: PositiveInt | None = None
    """Steps between two looks at the loss on the documents of pack.held_out, which the last step has as well; None
    takes save_every."""
    keep_best: bool = False
    """Beside the last checkpoints keep the one of the lowest held-out loss, and make the stage's model from it."""

    @property
    def steps_between_evaluations(self) -> int:
        """Steps after which the held-out loss is taken, where rows are held out."""
        return self.evaluate_every or self.save_every

    @property
    def checkpoints_kept(self) -> int:
        """Checkpoints that stay while the stage trains."""
        return self.keep_checkpoints + self.keep_best

    @model_validator(mode="after")
    def _saved_steps_are_evaluated(self) -> PackTrainingSection:
        every = self.steps_between_evaluations
        if self.keep_best and self.save_every % every:
            raise ValueError(
                f"save_every ({self.save_every}) must be a multiple of evaluate_every ({every}): "
                "keep_best chooses among checkpoints by their held-out loss"
            )
        return self


class SftSection(PackTrainingSection):
    """Supervised fine-tuning on the mixture."""


class LengthControl(Section):
    """Thoughts cut at a budget and closed by force; loss only on `</think>` and the end token (report, section 3.1)."""

    budget: PositiveInt
    """Tokens of thought after which it is closed. No longer thought is trained in this stage."""
    share: Share = 0.1
    """Share of the stage's documents that are of this kind."""
    thoughts: Literal["sampled", "kept"] = "sampled"
    """`sampled`: the model that SFT made thinks anew, and what it did not end within the budget is cut. `kept`: the
    thoughts of kept rows that are longer than the budget are cut."""
    prompts: PositiveInt = 256
    """On how many kept rows with a thought the model thinks anew; drawn by the seed."""
    sources: list[str] | None = None
    """The sources that these prompts are of, such as those with hard problems; None takes all."""
    answer_tokens: PositiveInt = 1024
    """Most tokens of the answer after the forced close; an answer that does not end within them is dropped."""
    temperature: Annotated[float, Field(gt=0)] = 0.6
    """Of the sampled thoughts; this and the next two as the Hermes 4 card has them."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    top_k: PositiveInt = 20
    batch_size: PositiveInt = 8
    """Thoughts sampled at once by each process."""
    trained: Literal["close", "whole_thought"] = "close"
    """`close`: `</think>` and the end token. `whole_thought`: the cut thoughts as well, and thoughts longer than the
    budget are let in: a control experiment, which the report saw raise the share of thoughts that never end."""


class HybridSection(PackTrainingSection):
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


PairLoss = Literal[
    "sigmoid",
    "sigmoid_norm",
    "hinge",
    "ipo",
    "exo_pair",
    "nca_pair",
    "robust",
    "bco_pair",
    "sppo_hard",
    "aot",
    "aot_unpaired",
    "apo_zero",
    "apo_down",
    "discopop",
]
_SMOOTHED = ("robust", "exo_pair", "aot", "aot_unpaired")
OF_ROWS = ("aot", "aot_unpaired")
"""Losses that compare the pairs of one row with each other, so that they depend on how the global batch is split."""


class DpoSection(TrainingSection):
    """Direct preference optimisation on pairs of verified and refuted answers."""

    beta: Annotated[float, Field(gt=0)] = 0.1
    loss: PairLoss = "sigmoid"
    """TRL's name of the loss. `aot` and `aot_unpaired` compare the pairs of one row with each other, so that they alone
    depend on how the global batch is split, and begin anew where `micro_batch` changes."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """Share of pairs taken to be the wrong way round, by `robust`, `exo_pair`, `aot` and `aot_unpaired`."""
    sft_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of an additional SFT loss on the chosen answer."""
    refusals: Share = 0.2
    """Share of kept answers, in both modes, that are paired with a made-up refusal where the rows hold no refusal of
    their prompt; refusals among the rows are always paired."""
    pairs: PositiveInt | None = None
    """At most so many pairs; None takes all."""
    max_length: PositiveInt = 1024
    """Tokens; a pair with a longer side is dropped and counted."""

    @model_validator(mode="after")
    def _loss_is_complete(self) -> DpoSection:
        if self.label_smoothing and self.loss not in _SMOOTHED:
            raise ValueError(
                f"label_smoothing ({self.label_smoothing}) does nothing for the loss {self.loss}; it is for "
                f"{', '.join(_SMOOTHED)}"
            )
        if self.loss == "exo_pair" and not self.label_smoothing:
            raise ValueError("the loss exo_pair needs label_smoothing above 0; its authors take 1e-3")
        return self


class ParallelSection(Section):
    """How the model is spread over ranks."""

    zero_stage: Literal[0, 1, 2, 3] = 3
    """DeepSpeed's ZeRO stage when there are several ranks; 0 is plain data parallelism."""
    offload: Literal["none", "optimizer", "parameters"] = "none"
    """What ZeRO keeps in the memory of the CPU; `parameters` means the optimizer's state as well."""
    reduce_bucket_size: PositiveInt | Literal["auto"] = "auto"
    """Elements of gradients that are reduced at once; `auto` is the square of the model's hidden size."""
    prefetch_bucket_size: PositiveInt | Literal["auto"] = "auto"
    """Elements of weights that stage 3 fetches ahead of their use; `auto` is 0.9 of the hidden size's square."""
    persistence_threshold: PositiveInt | Literal["auto"] = "auto"
    """Weights of fewer elements stay whole on every rank at stage 3; `auto` is ten times the hidden size."""
    max_live_parameters: PositiveInt = 1_000_000_000
    """Most elements of weights that stage 3 holds whole on a GPU before it lets some go."""
    hierarchical_partition: PositiveInt = 1
    """GPUs of one node that share a second copy of the weights (ZeRO++ hpZ), which spares traffic between nodes."""
    quantised_weights: bool = False
    """Gather weights as 8-bit integers (ZeRO++ qwZ)."""
    quantised_gradients: bool = False
    """Reduce gradients as 4-bit integers (ZeRO++ qgZ)."""
    sequence_parallel: PositiveInt = 1
    """Ranks that share one pack, each with a part of its tokens (Ulysses): for packs of 32k tokens and more."""

    @model_validator(mode="after")
    def _stage_can_do_it(self) -> ParallelSection:
        only_at_3 = {
            "offload: parameters": self.offload == "parameters",
            "hierarchical_partition": self.hierarchical_partition > 1,
            "quantised_weights": self.quantised_weights,
            "quantised_gradients": self.quantised_gradients,
            "sequence_parallel": self.sequence_parallel > 1,
        }
        wanted = [name for name, given in only_at_3.items() if given]
        if wanted and self.zero_stage != 3:
            raise ValueError(f"{wanted[0]} needs zero_stage 3, not {self.zero_stage}")
        if self.offload == "optimizer" and self.zero_stage == 0:
            raise ValueError("offload: optimizer needs zero_stage 1, 2 or 3, not 0")
        return self
