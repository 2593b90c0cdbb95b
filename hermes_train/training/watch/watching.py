"""All that is looked at while a stage trains, hung on its Trainer in one place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hermes_train.recipe.schema import WandbSection
from hermes_train.recipe.training_sections import PackTrainingSection, TrainingSection
from hermes_train.training import ranks
from hermes_train.training.compute.architecture import Architecture
from hermes_train.training.pack_trainer import PackTrainer
from hermes_train.training.pairs.pair_trainer import PairTrainer
from hermes_train.training.resume.best_checkpoint import BestRecalled
from hermes_train.training.resume.checkpoint_mark import CheckpointMark
from hermes_train.training.resume.disk import await_room
from hermes_train.training.step_data import StepData
from hermes_train.training.watch.fence import Fence
from hermes_train.training.watch.figures import StepFigures, Work
from hermes_train.training.watch.hang import HangWatch
from hermes_train.training.watch.line_file import LineFile
from hermes_train.training.watch.loss_guard import LossGuard
from hermes_train.training.watch.metrics import read_metrics
from hermes_train.training.watch.pace import Pace
from hermes_train.training.watch.progress import ProgressBar
from hermes_train.training.watch.signals import StopSignal
from hermes_train.training.watch.skipping import entries_of
from hermes_train.training.watch.stage_log import Entry, StageLog
from hermes_train.training.watch.step_timing import StepTimes
from hermes_train.training.watch.stopping import StopWhenAsked
from hermes_train.training.watch.tracking import StageTracker


@dataclass(frozen=True)
class Watched:
    """What is watched: a stage by its name and folder, its section of the recipe, its data step by step."""

    run_name: str
    stage: str
    folder: Path
    origin: Path
    section: TrainingSection
    data: StepData
    wandb: WandbSection
    facts: Mapping[str, Any]
    """What W&B is told beside the section: versions, figures of the data."""
    console: Console

    @property
    def metrics_path(self) -> Path:
        """Where the figures of each step go."""
        return self.folder / "metrics.jsonl"


class _WhenReady(TrainerCallback):
    """Hangs on the model what has to come after DeepSpeed has made it ready."""

    def __init__(self, trainer: Any, guard: LossGuard, warn: Any) -> None:
        self._trainer = trainer
        self._guard = guard
        self._warn = warn
        self._pace: Pace | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Hang it."""
        self._trainer.watch_updates(self._guard.refuse_update)
        self._pace = Pace(self._trainer.model, args.device.type == "cuda", self._warn)

    def after_step(self, times: StepTimes) -> None:
        """Compare the ranks' times."""
        if self._pace is not None:
            self._pace.after_step(times)


@contextmanager
def watching(trainer: PackTrainer | PairTrainer, watched: Watched) -> Iterator[None]:
    """Watch the training within the block. Raises StopSignal at the end of one that a signal has cut short."""
    log = StageLog(watched.folder)

    def warn(text: str) -> None:
        log.write(Entry.WARNING, text)
        watched.console.print(f"[yellow]warning[/yellow] {text}", highlight=False)

    tracker = StageTracker(watched.wandb, watched.run_name, watched.stage, watched.folder, warn)
    progress = ProgressBar(watched.stage, watched.console)
    guard = LossGuard(
        watched.folder,
        watched.section.spikes,
        watched.data.step_documents,
        warn,
        skipped=entries_of(watched.section.skip_documents)
        if isinstance(watched.section, PackTrainingSection)
        else None,
    )
    ready, stop = _WhenReady(trainer, guard, warn), StopWhenAsked()
    hang = HangWatch(watched.folder, log)
    work = Work.of_ranks(
        Architecture.of_folder(watched.origin),
        "lora" if watched.section.lora else "full",
        ranks.world_size(),
    )
    metrics = LineFile(watched.metrics_path)
    listeners = (lambda line: metrics.add(json.dumps(line)), progress.show, tracker.log)
    figures = StepFigures(trainer.clock, watched.data, work, ready.after_step, listeners)

    def before_save() -> None:
        await_room(watched.folder, warn, hang.alive)
        # The steps up to a checkpoint are not trained again.
        metrics.write_held()

    trainer.before_save = before_save
    trainer.remove_callback(PrinterCallback)
    # In this order: figures are written before a loss is judged, a checkpoint is marked before a signal is obeyed.
    mark, best = CheckpointMark(log, trainer.checkpoint_facts), BestRecalled(warn)
    for callback in (Fence(watched.folder), hang, ready, progress, figures, guard, mark, best, stop):
        trainer.add_callback(callback)
    if ranks.is_main():
        config = watched.section.model_dump(mode="json") | dict(watched.facts)
        tracker.start(config, read_metrics(watched.metrics_path))
    try:
        with hang.on_duty():
            yield
    finally:
        # Of a step that ended the run before its evaluation.
        figures.hand_on()
        progress.stop()
        tracker.end()
    if stop.received is not None and trainer.state.global_step < trainer.state.max_steps:
        raise StopSignal(
            f"stopped by {stop.received.name} after step {trainer.state.global_step}, which is saved"
        )
