"""The seams in the Trainer's step where time is taken, and where an unsound update is held back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import cached_property, wraps
from typing import Any

import torch

from hermes_train.training import ranks
from hermes_train.training.watch.loss_watch import is_finite
from hermes_train.training.watch.step_timing import Phase, StepClock

RefuseUpdate = Callable[[float, float | None], None]
"""Takes a loss and a gradient norm of which one is no number; raises what ends the run."""


class WatchedSteps:
    """A mix-in for Trainers, before them in the order of classes. Its seams are the Trainer's own methods, but for two
    that DeepSpeed hides: the backward pass, and the update within it."""

    args: Any
    accelerator: Any
    model_wrapped: Any
    optimizer: Any
    before_save: Callable[[], None] | None = None
    """Called on every rank before a checkpoint is written; may raise."""
    _refuse: RefuseUpdate | None = None

    @cached_property
    def clock(self) -> StepClock:
        """The clock of this Trainer's steps."""
        return StepClock(self.args.device.type == "cuda")

    def watch_updates(self, refuse: RefuseUpdate) -> None:
        """Time backward passes and updates, and call `refuse` where an update would spoil the weights.

        To be called once, when the Trainer has made the model ready for training. With DeepSpeed the update follows the
        last backward pass from within; the gradient's norm is not known before it, only whether it is a number.
        """
        self._refuse = refuse
        self._losses: list[torch.Tensor] = []
        self.accelerator.backward = self._watched_backward(self.accelerator.backward)
        if self._is_deepspeed:
            self.model_wrapped.step = self._watched_update(refuse, self.model_wrapped.step)
        else:
            self.optimizer.step = self._timed(Phase.OPTIMIZER, self.optimizer.step)

    def get_batch_samples(self, epoch_iterator: Iterator[Any], *args: Any, **kwargs: Any) -> Any:
        """Start the step's clock, and read its batches on it."""
        self.clock.begin_step()
        return super().get_batch_samples(self.clock.timed(epoch_iterator), *args, **kwargs)  # type: ignore[misc]  # the Trainer's

    def compute_loss_context_manager(self) -> AbstractContextManager[Any]:
        """Time what the Trainer does to get a loss."""
        stack = ExitStack()
        stack.enter_context(self.clock.phase(Phase.FORWARD))
        stack.enter_context(super().compute_loss_context_manager())  # type: ignore[misc]  # the Trainer's
        return stack

    def _timed(self, phase: Phase, work: Callable[..., Any]) -> Callable[..., Any]:
        # The schedule knows an optimizer's step by an attribute that it has put on it.
        @wraps(work)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.clock.phase(phase):
                return work(*args, **kwargs)

        return timed

    def _watched_backward(self, backward: Callable[..., None]) -> Callable[..., None]:
        timed = self._timed(Phase.BACKWARD, backward)

        def watched(loss: torch.Tensor, **kwargs: Any) -> None:
            self._losses.append(loss.detach())
            timed(loss, **kwargs)

        return watched

    def _watched_update(self, refuse: RefuseUpdate, update: Callable[..., Any]) -> Callable[..., Any]:
        timed = self._timed(Phase.OPTIMIZER, update)

        def watched(*args: Any, **kwargs: Any) -> Any:
            # At stage 3 DeepSpeed itself looks for this in float16 alone; at 1 and 2 it leaves such an update out.
            at_stage_3 = self.model_wrapped.zero_optimization_stage() == 3
            unsound = at_stage_3 and self.model_wrapped.optimizer.has_overflow()
            self._hold_back_unsound(refuse, math.nan if unsound else None)
            return timed(*args, **kwargs)

        return watched

    def _clip_grad_norm(self, *args: Any, **kwargs: Any) -> Any:
        with self.clock.phase(Phase.OPTIMIZER):
            return super()._clip_grad_norm(*args, **kwargs)  # type: ignore[misc]  # the Trainer's

    def _get_grad_norm(self, *args: Any, **kwargs: Any) -> Any:
        # The Trainer asks for it right before it updates the weights.
        norm = super()._get_grad_norm(*args, **kwargs)  # type: ignore[misc]  # the Trainer's
        if not self._is_deepspeed and self._refuse is not None:
            self._hold_back_unsound(self._refuse, float(norm))
        return norm

    def _hold_back_unsound(self, refuse: RefuseUpdate, grad_norm: float | None) -> None:
        """Call `refuse` on every rank when the loss of any, or the gradient, is no number."""
        own = float(torch.stack(self._losses).sum())
        self._losses.clear()
        if ranks.largest(int(not is_finite(own, grad_norm))):
            mean = math.fsum(row[0] for row in ranks.gathered([own])) / ranks.world_size()
            refuse(mean, grad_norm)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        if self.before_save is not None:
            self.before_save()
        super()._save_checkpoint(*args, **kwargs)  # type: ignore[misc]  # the Trainer's

    @property
    def _is_deepspeed(self) -> bool:
        return bool(self.args.deepspeed)
