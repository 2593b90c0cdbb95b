"""What is done about a loss that cannot be gone on from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hermes_train.recipe.training_sections import SpikeSection
from hermes_train.runs import write_json
from hermes_train.training.ranks import is_main, wait_for_all
from hermes_train.training.watch.loss_watch import Judgement, LossWatch, StepHealth
from hermes_train.training.watch.metrics import read_metrics
from hermes_train.training.watch.stage_log import LossStoppedError

StepDocuments = Callable[[int], Sequence[str]]
"""Takes a step, counted from 0; returns the ids of its documents."""


class LossGuard(TrainerCallback):
    """Stops a run whose loss is no number, and warns of a leap or stops for it, as the recipe says.

    All ranks see the same losses, and so come to the same judgement. Where the run stops, the documents of the step lie
    in `stopped_at_step_<n>.json`, and no checkpoint is written: the last one is from before.
    """

    def __init__(
        self,
        folder: Path,
        spikes: SpikeSection,
        step_documents: StepDocuments,
        warn: Callable[[str], None],
        *,
        skipped: Sequence[str] | None,
    ) -> None:
        """`folder` is the stage's. `warn` is called on rank 0. `skipped`: the entries of its `skip_documents`; None
        where the stage has no such setting."""
        self._folder = folder
        self._spikes = spikes
        self._step_documents = step_documents
        self._warn = warn
        self._skipped = skipped
        self._watch = LossWatch(spikes.window, spikes.deviations, spikes.ratio)
        self._step = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take up the losses of the steps before."""
        steps = [
            line for line in read_metrics(self._folder / "metrics.jsonl") if line["step"] <= state.global_step
        ]
        self._watch = LossWatch(self._spikes.window, self._spikes.deviations, self._spikes.ratio)
        for line in steps:
            self._watch.judge(line["loss"], line.get("grad_norm"))

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Note which step is at work."""
        self._step = state.global_step + 1

    def refuse_update(self, loss: float, grad_norm: float | None) -> None:
        """Stop before the weights are changed by what is no number. Raises LossStoppedError."""
        judgement = self._watch.judge(loss, grad_norm)
        reason = (
            judgement.reason or f"the loss is {loss} and the gradient's norm {grad_norm} on one of the ranks"
        )
        self._stop(reason, loss, grad_norm, "the weights are as before that step")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Judge the step. Raises LossStoppedError."""
        if not logs or "loss" not in logs:
            return
        loss, grad_norm = logs["loss"], logs.get("grad_norm")
        judgement = self._watch.judge(loss, grad_norm)
        if judgement.health is StepHealth.SPIKE and self._spikes.action == "warn":
            self._tell_of(judgement, state.global_step)
        elif judgement.health is not StepHealth.SOUND:
            self._stop(judgement.reason, loss, grad_norm, "the last checkpoint is from before that step")

    def _tell_of(self, judgement: Judgement, step: int) -> None:
        if is_main():
            self._warn(f"step {step} leaps: {judgement.reason}")

    def _stop(self, reason: str, loss: float, grad_norm: float | None, state: str) -> NoReturn:
        path = self._folder / f"stopped_at_step_{self._step}.json"
        if is_main():
            figures = {"step": self._step, "loss": _as_json(loss), "grad_norm": _as_json(grad_norm)}
            write_json(path, figures | {"documents": list(self._step_documents(self._step - 1))})
        # No rank ends, and takes the others with it, before the file is there.
        wait_for_all()
        raise LossStoppedError(f"stopped at step {self._step}: {reason}; {state}. {self._way_on(path)}")

    def _way_on(self, path: Path) -> str:
        stage = self._folder.name
        if self._skipped is None:
            return (
                f"The ids of that step's pairs lie in {path}; {stage} cannot go on without some of its pairs: lower "
                f"{stage}.learning_rate, and the stage begins anew; a leap is gone on from with "
                f"-o {stage}.spikes.action=warn"
            )
        # The option replaces the list that was given before.
        skipped = ", ".join([*self._skipped, str(path)])
        return (
            "To go on without the labels of that step's documents, start the same command with "
            f"-o '{stage}.skip_documents=[{skipped}]'; where the rate is too high, that helps only until the next "
            f"time: lower {stage}.learning_rate"
        )


def _as_json(value: float | None) -> float | str | None:
    """Return a number as it is, and what is none by its name: JSON has no word for it."""
    return value if value is None or math.isfinite(value) else str(value)
