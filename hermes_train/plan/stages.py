"""What each training stage of a recipe asks of one rank, and whether its GPU can give it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from hermes_train.plan.activations import AttentionMemory, Compute, Forward
from hermes_train.plan.answers import sampling_bytes
from hermes_train.plan.gpus import GIB, Machines
from hermes_train.plan.memory import Memory, RankWork
from hermes_train.plan.sharding import Sharding
from hermes_train.plan.states import Trained
from hermes_train.recipe.schema import SEPARATES_BY_POSITIONS, Recipe
from hermes_train.recipe.training_sections import TrainingSection
from hermes_train.training.compute.architecture import Architecture
from hermes_train.training.zero import deepspeed_config, lossy_sums, ranks_of_a_pack

PATHS_OF_SHARED_PACKS = ("auto", *SEPARATES_BY_POSITIONS)
"""What a recipe whose ranks share packs may ask for."""


class Fit(StrEnum):
    """Whether a stage can run on some machines, and if not, what is in the way."""

    FITS = "fits"
    GPU_MEMORY = "gpu_memory"
    """A rank needs more than its GPU has."""
    GLOBAL_BATCH = "global_batch"
    """The global batch cannot be dealt evenly to the ranks."""
    RANKS = "ranks"
    """The ranks cannot be put into the groups that the recipe asks for."""
    QUANTISATION = "quantisation"
    """Weights in four bits cannot be spread by ZeRO-3."""
    POSITIONS = "positions"
    """A row is longer than the model has positions."""
    ATTENTION = "attention"
    """Ranks share packs, on an attention path on which the documents would see each other."""
    GRADIENT_SUMS = "gradient_sums"
    """Gradients would be added up in too few bits."""
    SAMPLING = "sampling"
    """Thoughts are to be sampled, and the whole model is more than a GPU has."""


@dataclass(frozen=True)
class Verdict:
    """A fit with its reason in words; empty where it fits."""

    fit: Fit
    reason: str = ""


@dataclass(frozen=True)
class Shape:
    """The rows that a stage trains on."""

    stage: str
    section: TrainingSection
    row: int
    """Tokens in a row: a pack, or a pair with both of its sides."""
    document: int
    """Most tokens that attend to one another."""
    ranks_per_row: int
    """Ranks that share a row."""

    @property
    def tokens(self) -> int:
        """Tokens of a micro-batch on one rank, at most."""
        return self.section.micro_batch * self.row // self.ranks_per_row


def stage_shapes(recipe: Recipe, ranks: int) -> Iterator[Shape]:
    """Yield what the training stages train on, in order."""
    together = ranks_of_a_pack(recipe.parallel, ranks)
    length = recipe.pack.length
    yield Shape("sft", recipe.sft, length, length, together)
    length = recipe.hybrid.length or length
    yield Shape("hybrid", recipe.hybrid, length, length, together)
    longest = recipe.dpo.max_length
    # Pairs are too short to be shared.
    yield Shape("dpo", recipe.dpo, 2 * longest, longest, ranks_per_row=1)


@dataclass(frozen=True)
class StagePlan:
    """One stage on some machines. `work` and `memory` are None where DeepSpeed is not told to run it at all."""

    shape: Shape
    work: RankWork | None
    memory: Memory | None
    verdict: Verdict


def plan_stage(recipe: Recipe, shape: Shape, architecture: Architecture, machines: Machines) -> StagePlan:
    """Return a stage's memory on each GPU, and whether it fits."""
    refused = _groups(recipe, machines) or _gradient_sums(recipe, shape, machines)
    if refused is not None:
        return StagePlan(shape, None, None, refused)
    work = rank_work(recipe, shape, architecture, machines)
    memory = work.peak()
    verdict = (
        _quantised(work, shape)
        or _shared_attention(recipe.model.attention, shape)
        or _rows(shape, architecture, machines)
        or _sampling(recipe, shape, architecture, machines)
        or _on_gpu(shape, memory, machines)
        or Verdict(Fit.FITS)
    )
    return StagePlan(shape, work, memory, verdict)


def _groups(recipe: Recipe, machines: Machines) -> Verdict | None:
    """Return why the ranks cannot be put into the groups that the recipe asks for, or None."""
    if machines.ranks == 1:
        # One process alone leaves all of `parallel` aside.
        return None
    for name in ("sequence_parallel", "hierarchical_partition"):
        size = getattr(recipe.parallel, name)
        if machines.ranks % size:
            return Verdict(Fit.RANKS, f"parallel.{name} ({size}) does not divide the {machines.ranks} GPUs")
    return None


def _gradient_sums(recipe: Recipe, shape: Shape, machines: Machines) -> Verdict | None:
    """Return why gradients would lose in being added up, or None."""
    reason = lossy_sums(recipe.parallel, shape.section, machines.ranks)
    return None if reason is None else Verdict(Fit.GRADIENT_SUMS, f"{shape.stage}: {reason}")


def _quantised(work: RankWork, shape: Shape) -> Verdict | None:
    """Return why weights in four bits cannot be laid on the ranks, or None."""
    if not work.trained.quantised or work.sharding.zero_stage < 3:
        return None
    return Verdict(
        Fit.QUANTISATION,
        f"{shape.stage}.lora.quantize keeps weights in four bits, which ZeRO-3 cannot spread; parallel.zero_stage=2 "
        "leaves them whole",
    )


def _shared_attention(wanted: str, shape: Shape) -> Verdict | None:
    """Return why the stage's packs cannot be shared on the attention path, or None."""
    path = _attention_path(wanted, shape.section.precision)
    if shape.ranks_per_row == 1 or path in PATHS_OF_SHARED_PACKS:
        return None
    return Verdict(
        Fit.ATTENTION,
        f"{shape.stage} takes the attention path {path}, on which documents of a pack that GPUs share would see each "
        f"other; parallel.sequence_parallel needs 16-bit precision and model.attention one of "
        f"{', '.join(PATHS_OF_SHARED_PACKS)}",
    )


def _rows(shape: Shape, architecture: Architecture, machines: Machines) -> Verdict | None:
    """Return why the stage's rows cannot be dealt to the ranks or read by the model, or None."""
    at_once = shape.section.micro_batch * machines.ranks // shape.ranks_per_row
    if shape.section.global_batch % at_once:
        return Verdict(
            Fit.GLOBAL_BATCH,
            f"{shape.stage}.global_batch ({shape.section.global_batch}) is no multiple of the {at_once} rows that "
            f"{machines.ranks} GPUs take at once",
        )
    if shape.document > architecture.max_positions:
        return Verdict(
            Fit.POSITIONS,
            f"{shape.stage} has documents of up to {shape.document} tokens, and the model "
            f"{architecture.max_positions} positions",
        )
    return None


def _sampling(recipe: Recipe, shape: Shape, architecture: Architecture, machines: Machines) -> Verdict | None:
    """Return why the hybrid stage cannot sample its thoughts, or None."""
    needed = sampling_bytes(recipe, architecture) if shape.stage == "hybrid" else 0
    if needed <= machines.gpu.memory:
        return None
    return Verdict(
        Fit.SAMPLING,
        f"hybrid samples thoughts with the whole model on each GPU: weights and a batch's keys and values are "
        f"{needed / GIB:.1f} GiB, and a GPU has {machines.gpu.memory / GIB:.0f}; take a smaller "
        "hybrid.length_control.batch_size, or hybrid.length_control.thoughts=kept, which samples none",
    )


def _on_gpu(shape: Shape, memory: Memory, machines: Machines) -> Verdict | None:
    """Return why a GPU cannot hold a rank, or None."""
    if memory.total <= machines.gpu.memory:
        return None
    part = memory.largest_part
    return Verdict(
        Fit.GPU_MEMORY,
        f"{shape.stage} needs {memory.total / GIB:.1f} GiB on each GPU, which has {machines.gpu.memory / GIB:.0f}; "
        f"the largest part is {part} ({memory.parts[part] / GIB:.1f} GiB)",
    )


def rank_work(recipe: Recipe, shape: Shape, architecture: Architecture, machines: Machines) -> RankWork:
    """Return what one rank holds and does in a stage."""
    section = shape.section
    config = deepspeed_config(recipe.parallel, section, machines.ranks, on_cpu=False)
    sharding = Sharding.of(config, machines.ranks, architecture.hidden_size)
    forward = Forward(
        tokens=shape.tokens,
        row=shape.row,
        compute=_compute(section, sharding),
        attention=_attention(recipe.model.attention, section.precision),
        checkpointing=section.gradient_checkpointing,
        adapter_rank=section.lora.rank if section.lora else 0,
        offload=section.activation_offload,
    )
    return RankWork(architecture, Trained.of(architecture, section.lora), sharding, forward)


def _compute(section: TrainingSection, sharding: Sharding) -> Compute:
    if section.precision == "fp32":
        return Compute.FLOAT32
    if sharding.uses_deepspeed:
        return Compute.BFLOAT16
    return Compute.ADAPTERS if section.lora else Compute.AUTOCAST


def _attention_path(wanted: str, precision: str) -> str:
    """What `training.compute.attention.choose_attention` takes on a GPU; "auto" for the best of those in 16 bits."""
    return "sdpa" if wanted == "auto" and precision == "fp32" else wanted


def _attention(wanted: str, precision: str) -> AttentionMemory:
    """What the attention path saves."""
    match _attention_path(wanted, precision):
        case "eager":
            return AttentionMemory.EAGER
        case "sdpa":
            return AttentionMemory.MASKED
        case _:
            return AttentionMemory.FLASH
