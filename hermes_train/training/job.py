"""One training stage from its data to its model: resumed, tracked, measured, saved whole."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from rich.console import Console
from transformers import PreTrainedModel
from trl import DPOConfig, SFTConfig

from hermes_train.packing.dataset import Dealing, PackedData
from hermes_train.packing.held_out import HELD_OUT_INDEX
from hermes_train.packing.node_share import NodeShare
from hermes_train.recipe.schema import ModelSection, WandbSection
from hermes_train.recipe.training_sections import (
    DpoSection,
    PackTrainingSection,
    ParallelSection,
    TrainingSection,
)
from hermes_train.training import ranks
from hermes_train.training.arguments import (
    accumulation_steps,
    common_arguments,
    dpo_arguments,
    held_out_arguments,
    lora_config,
    sft_arguments,
)
from hermes_train.training.compute.attention import choose_attention
from hermes_train.training.compute.compute_paths import choose_paths
from hermes_train.training.compute.kernels import use_kernels
from hermes_train.training.extensions import build_extensions
from hermes_train.training.local_packs import Telling, packs_on_node
from hermes_train.training.model import load_for_training, load_tokenizer
from hermes_train.training.pack_trainer import PackTrainer
from hermes_train.training.pairs.pair_batches import PairRows, pair_rows
from hermes_train.training.pairs.pair_trainer import PairTrainer
from hermes_train.training.pairs.reference_scoring import reference_log_probabilities
from hermes_train.training.resume.best_checkpoint import BestStep, forget_if_lost, load_best
from hermes_train.training.resume.checkpoints import model_fingerprint
from hermes_train.training.resume.rehearsal import SaveRehearsal
from hermes_train.training.resume.resuming import (
    Resumption,
    Way,
    choose_resumption,
    clear_leftovers,
    convert_where_needed,
    damage_lines,
    require_same_model,
)
from hermes_train.training.resume.whole_checkpoints import write_failure_told
from hermes_train.training.sequence_parallel import (
    attention_given_back,
    collator_for,
    parallelism,
    shared_in_evaluation,
)
from hermes_train.training.step_data import PackSteps, StepData
from hermes_train.training.timeouts import collective_timeout, limit_collectives
from hermes_train.training.watch.metrics import read_metrics
from hermes_train.training.watch.skipping import skipped_documents
from hermes_train.training.watch.stage_log import Entry, StageLog
from hermes_train.training.watch.watching import Watched, watching
from hermes_train.training.weights.bases import DTYPES
from hermes_train.training.weights.quantisation import quantisation
from hermes_train.training.weights.saving import save_trained
from hermes_train.training.zero import effective_stage, extensions_needed, ranks_of_a_pack


@dataclass(frozen=True)
class TrainingJob:
    """What a training stage works on. `origin` is the model it starts from, `data` its packs or pairs."""

    stage: str
    run_name: str
    seed: int
    model: ModelSection
    parallel: ParallelSection
    wandb: WandbSection
    origin: Path
    data: Path
    folder: Path
    console: Console
    facts: Mapping[str, Any]
    """What is told of the run beside its settings, where figures are tracked: versions, figures of the data."""
    held_out: Path | None = None
    """The store and index of the packs whose loss is told on the way; None where no rows are held out."""
    local_cache: Path | None = None
    """A disk of this node on which to keep a copy of the packs that its ranks read; None: they read `data`."""

    @property
    def metrics_path(self) -> Path:
        """Where the figures of each step go."""
        return self.folder / "metrics.jsonl"

    @property
    def model_path(self) -> Path:
        """Where the finished model goes."""
        return self.folder / "model"


def train_on_packs(job: TrainingJob, section: PackTrainingSection) -> dict[str, Any]:
    """Train on packs with TRL's SFT and save the model. Returns the stage's figures; only rank 0's are complete."""
    skipped = skipped_documents(section.skip_documents)
    resumption = _resumption(job)
    share = _node_share(job, section, resumption)
    with packs_on_node(job.local_cache, job.data, share, _telling(job)) as copy:
        return _train_on_packs(job, section, resumption, skipped, copy)


def _train_on_packs(
    job: TrainingJob,
    section: PackTrainingSection,
    resumption: Resumption,
    skipped: frozenset[str],
    copy: Path | None,
) -> dict[str, Any]:
    tokenizer = load_tokenizer(job.origin)
    data = PackedData(job.data, tokenizer.pad_token_id, skipped, copy=copy)
    shares = ranks_of_a_pack(job.parallel, ranks.world_size())
    attention = choose_attention(job.model.attention, section.precision)
    arguments = SFTConfig(
        **_common(job, section, resumption),
        **sft_arguments(parallelism(shares, ranks.world_size(), attention)),
        **(held_out_arguments(section) if job.held_out else {}),
    )
    _join(job, arguments)
    trainer = PackTrainer(
        model=_load(job, section, arguments),
        args=arguments,
        train_dataset=data.as_dataset(),
        eval_dataset=_held_out(job, section, tokenizer.pad_token_id, shares, copy),
        processing_class=tokenizer,
        peft_config=lora_config(section.lora),
        data_collator=collator_for(tokenizer.pad_token_id, ranks.rank() % shares, shares),
    )
    with attention_given_back(attention), shared_in_evaluation(shares):
        return _run(trainer, job, section, PackSteps(data, job.seed, section.global_batch), resumption)


def train_on_pairs(job: TrainingJob, section: DpoSection) -> dict[str, Any]:
    """Train on preference pairs with TRL's DPO and save the model. Returns the stage's figures.

    Pairs are too short to be shared: every rank has its own, whatever `parallel.sequence_parallel` says.
    """
    job = replace(job, parallel=job.parallel.model_copy(update={"sequence_parallel": 1}))
    tokenizer = load_tokenizer(job.origin)
    resumption = _resumption(job)
    common = _common(job, section, resumption)
    rows = pair_rows(job.data, tokenizer.pad_token_id, section, job.seed, ranks.world_size())
    arguments = DPOConfig(**common | dpo_arguments(section, rows.plan.micro_steps))
    _join(job, arguments)
    trainer = PairTrainer(
        rows=rows,
        model=_load(job, section, arguments),
        args=arguments,
        processing_class=tokenizer,
        peft_config=lora_config(section.lora),
    )
    trainer.references = reference_log_probabilities(
        trainer, rows.data, section, job.origin, job.folder.parent / "references", job.console
    )
    return _run(trainer, job, section, rows, resumption) | _pair_figures(trainer, rows)


def _node_share(job: TrainingJob, section: PackTrainingSection, resumption: Resumption) -> NodeShare:
    """Return what this node's ranks are dealt from the next step to the last, and the step after it, in which the
    loader looks for one more micro-batch."""
    copies = ranks_of_a_pack(job.parallel, ranks.world_size())
    takers = ranks.world_size() // copies
    dealing = Dealing(takers, section.micro_batch, accumulation_steps(section, takers))
    return NodeShare(job.seed, dealing, copies, ranks.of_this_node(), resumption.step, section.steps + 1)


def _telling(job: TrainingJob) -> Telling:
    def warn(text: str) -> None:
        StageLog(job.folder).write(Entry.WARNING, text)
        job.console.print(f"[yellow]warning[/yellow] {text}", highlight=False)

    return Telling(job.console, warn, job.stage)


def _held_out(
    job: TrainingJob, section: PackTrainingSection, pad_token_id: int, shares: int, copy: Path | None
) -> Dataset | None:
    """Return the held-out packs, as many rows for each rank: under ZeRO-3 all of them compute together.

    `copy`, of the packs that are trained, has those that were held out beside them.
    """
    if job.held_out is None:
        return None
    copy = copy if job.held_out == job.data else None
    packs = PackedData(job.held_out, pad_token_id, index_file=HELD_OUT_INDEX, copy=copy)
    return packs.as_dataset(multiple=section.micro_batch * ranks.world_size() // shares)


def _resumption(job: TrainingJob) -> Resumption:
    """Return what the stage goes on from, in the form that it needs; before the ranks are joined."""
    ranks.use_cpu()
    stage = effective_stage(job.parallel, ranks.world_size())
    resumption = choose_resumption(job.folder, job.stage, ranks.world_size(), stage)
    convert_where_needed(resumption, job.console)
    return resumption


def _common(job: TrainingJob, section: TrainingSection, resumption: Resumption) -> dict[str, Any]:
    limit_collectives(collective_timeout())
    return common_arguments(
        section,
        job.parallel,
        job.folder,
        job.seed,
        ranks.world_size(),
        ranks.use_cpu(),
        universal=resumption.way is Way.UNIVERSAL,
    )


def _join(job: TrainingJob, arguments: SFTConfig | DPOConfig) -> None:
    if arguments.deepspeed:
        build_extensions(*extensions_needed(job.parallel, ranks.use_cpu()))
        ranks.join_deepspeed()


def _load(job: TrainingJob, section: TrainingSection, arguments: SFTConfig | DPOConfig) -> PreTrainedModel:
    """Return the model with the paths of compute that were chosen, once they are seen to keep documents apart."""
    paths = choose_paths(job.model.attention, section.kernels, section.precision)
    paths.require_documents_apart(job.origin, section.precision, arguments.device)
    # DeepSpeed keeps a master of its own, and weights beneath adapters are not trained.
    needs_no_master = section.precision == "bf16" and (arguments.deepspeed or section.lora)
    model = load_for_training(
        job.origin,
        paths.attention,
        section.gradient_checkpointing,
        torch.bfloat16 if needs_no_master else torch.float32,
        quantisation(section.lora, effective_stage(job.parallel, ranks.world_size())),
    )
    use_kernels(model, paths.kernels)
    if ranks.is_main():
        job.console.print(f"{job.stage}: {paths.note()}", highlight=False)
    return model


def _pair_figures(trainer: PairTrainer, rows: PairRows) -> dict[str, Any]:
    return {
        "rows": {
            "longest": int(rows.plan.row_lengths.max()),
            "pairs": rows.plan.pairs.shape[-1],
            "fill": round(rows.plan.fill(rows.data.lengths), 4),
        },
        "references": {"pairs": len(rows.data), "computed": trainer.references.computed},
    }


def _run(
    trainer: PackTrainer | PairTrainer,
    job: TrainingJob,
    section: TrainingSection,
    data: StepData,
    resumption: Resumption,
) -> dict[str, Any]:
    """Rehearse the save, train to the end and save the model; its checkpoints stay until the stage counts as done."""
    started = time.perf_counter()
    require_same_model(resumption, model_fingerprint(trainer.model))
    _tell_resumption(job, resumption)
    clear_leftovers(resumption, job.folder, job.metrics_path)
    watched = Watched(
        job.run_name, job.stage, job.folder, job.origin, section, data, job.wandb, job.facts, job.console
    )

    def save(folder: Path) -> None:
        save_trained(trainer.model, job.origin, folder, DTYPES[job.model.dtype], section.lora)

    with watching(trainer, watched):
        trainer.add_callback(SaveRehearsal(trainer, save, section.checkpoints_kept))
        trainer.train(resume_from_checkpoint=str(resumption.checkpoint) if resumption.checkpoint else None)
    made_from = _step_of_model(trainer, job)
    with write_failure_told(job.model_path):
        save(job.model_path)
    ranks.wait_for_all()
    return _figures(job, section, made_from, time.perf_counter() - started) if ranks.is_main() else {}


def _step_of_model(trainer: PackTrainer | PairTrainer, job: TrainingJob) -> int:
    """Return the step that the finished model is made from, whose weights the trainer has from now on: the best where
    the recipe keeps it, which is told, else the last."""
    log = StageLog(job.folder)

    def tell(text: str, entry: Entry = Entry.WARNING) -> None:
        job.console.print(text, highlight=False)
        log.write(entry, text)

    forget_if_lost(trainer.state, job.folder, tell)
    best, last = BestStep.of(trainer.state), trainer.state.global_step
    if best is None:
        if trainer.args.metric_for_best_model and ranks.is_main():
            tell(f"model of step {last}, the last: no better one is left", Entry.MODEL)
        return last
    if best.step != last:
        load_best(trainer, effective_stage(job.parallel, ranks.world_size()))
    if ranks.is_main():
        tell(best.told(last, _held_out_loss(job, last)), Entry.MODEL)
    return best.step


def _held_out_loss(job: TrainingJob, step: int) -> float | None:
    """Return the held-out loss after a step; None where it was not taken."""
    losses = {line["step"]: line.get("held_out_loss") for line in read_metrics(job.metrics_path)}
    return losses.get(step)


def _tell_resumption(job: TrainingJob, resumption: Resumption) -> None:
    if not ranks.is_main() or resumption.way is Way.START:
        return
    log = StageLog(job.folder)
    for line in damage_lines(job.folder):
        job.console.print(f"[yellow]warning[/yellow] {line}", highlight=False)
        log.write(Entry.WARNING, line)
    told = f"{job.stage} goes on after step {resumption.step}"
    job.console.print(told)
    log.write(Entry.RESUME, told)


def _figures(job: TrainingJob, section: TrainingSection, made_from: int, seconds: float) -> dict[str, Any]:
    steps = read_metrics(job.metrics_path)
    return {
        **asdict(choose_paths(job.model.attention, section.kernels, section.precision)),
        "steps": len(steps),
        "seconds": round(seconds, 2),
        "tokens": sum(step["tokens"] for step in steps),
        "label_tokens": sum(step["label_tokens"] for step in steps),
        "final_loss": steps[-1]["loss"] if steps else None,
        "model_step": made_from,
        "held_out_loss": _held_out_loss(job, made_from),
        "last_held_out_loss": _held_out_loss(job, len(steps)),
    }
