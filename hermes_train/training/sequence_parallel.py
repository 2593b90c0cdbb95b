"""Ulysses: several ranks share a pack, each with a part of its tokens; attention sees all tokens of some of the heads.

https://arxiv.org/abs/2309.14509, as DeepSpeed and Accelerate have it, but for the data: ranks of a group are dealt the
same packs by the sampler, and each cuts its own part out. Accelerate deals every rank a pack of its own and passes them
around, so that a step needs as many packs as there are ranks, and a run cannot go on in the middle of an epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.parallelism_config import ParallelismConfig
from accelerate.utils import DeepSpeedSequenceParallelConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from data_filters.errors import UserError
from hermes_train.chat.labels import IGNORED
from hermes_train.recipe.schema import SEPARATES_BY_POSITIONS
from hermes_train.training.pack_collator import PackCollator


def parallelism(shares: int, ranks: int, attention: str) -> ParallelismConfig | None:
    """Return what Accelerate is told of packs shared by `shares` ranks each; None where each has its own.

    `attention` is the path that the model was loaded with. Raises UserError for one on which documents would see each
    other.
    """
    if shares == 1:
        return None
    if attention not in SEPARATES_BY_POSITIONS:
        raise UserError(
            f"under parallel.sequence_parallel documents of a pack would see each other on the attention path "
            f"{attention}; set model.attention to auto or one of {', '.join(SEPARATES_BY_POSITIONS)}"
        )
    handler = DeepSpeedSequenceParallelConfig(sp_seq_length_is_variable=True)
    # Its check of names does not know varlen.
    handler.sp_attn_implementation = attention
    return ParallelismConfig(
        sp_size=shares, dp_shard_size=ranks // shares, sp_backend="deepspeed", sp_handler=handler
    )


@contextmanager
def attention_given_back(attention: str) -> Iterator[None]:
    """Put back the attention path `attention` after the block: DeepSpeed replaces it for the whole process."""
    own = ALL_ATTENTION_FUNCTIONS[attention]
    try:
        yield
    finally:
        ALL_ATTENTION_FUNCTIONS[attention] = own


@contextmanager
def shared_in_evaluation(shares: int) -> Iterator[None]:
    """Let ranks share packs in evaluation as they do in training, where a model is made ready within the block.

    Accelerate asks DeepSpeed to leave evaluation alone, since it takes each rank to read rows of its own there. With
    parts of packs each rank would then see its part alone, without a word.
    """
    if shares == 1:
        yield
        return
    from deepspeed.runtime.sequence_parallel.ulysses_sp import UlyssesSPAttentionHF

    register = UlyssesSPAttentionHF.register_with_transformers

    def register_for_both(*args: Any, disable_in_eval: bool = False, **kwargs: Any) -> Any:
        return register(*args, **kwargs)

    UlyssesSPAttentionHF.register_with_transformers = staticmethod(register_for_both)
    try:
        yield
    finally:
        UlyssesSPAttentionHF.register_with_transformers = register


@dataclass
class SharedPackCollator(PackCollator):
    """Packs into the part of their batch that one of several ranks takes.

    {"input_ids": [[1, 5]], "shift_labels": [[5, 9]], "position_ids": [[0, 1]], "modes": [[1, 1]]}
    """

    share: int = 0
    """Which part, counted from 0."""
    shares: int = 1

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the part of the batch; labels are those of the next tokens, which may be another rank's."""
        batch = super().torch_call(examples)
        shift_labels = torch.nn.functional.pad(batch.pop("labels")[:, 1:], (0, 1), value=IGNORED)
        names = ("input_ids", "position_ids", "modes")
        whole = {name: batch[name] for name in names} | {"shift_labels": shift_labels}
        return {name: value.chunk(self.shares, dim=1)[self.share] for name, value in whole.items()}


def collator_for(pad_token_id: int, share: int, shares: int) -> PackCollator:
    """Return the collator of a rank that takes the part `share` of `shares` of each pack, or the whole of its own."""
    if shares == 1:
        return PackCollator(pad_token_id)
    return SharedPackCollator(pad_token_id, share=share, shares=shares)
