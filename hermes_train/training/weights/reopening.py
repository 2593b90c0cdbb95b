"""A model's files, opened again after they were written: are they what its config asks for?"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_utils import set_zero3_state

from data_filters.errors import RunFailedError, UserError
from hermes_train.training.weights.checkpoint_files import FLOATS, Checkpoint, byte_parts, open_checkpoint


class SavedModelError(RunFailedError):
    """What was written is not the model."""


def check_model(folder: Path, dtype: torch.dtype) -> None:
    """Compare a model's stored tensors with the parameters that its class makes from `folder/config.json`.

    Names, shapes and dtypes have to be equal; a tied head is stored once; every value is finite. Raises
    SavedModelError.
    """
    try:
        stored = open_checkpoint(folder)
    except UserError as error:
        raise SavedModelError(f"the saved model cannot be opened again: {error}") from error
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    # Rank 0 is alone here: transformers must not spread this model over the ranks, as it would under ZeRO-3.
    with set_zero3_state(), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    wanted = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    _compare(stored, wanted, dtype)
    _check_finite(stored)


def _compare(stored: Checkpoint, wanted: dict[str, tuple[int, ...]], dtype: torch.dtype) -> None:
    if differing := sorted(wanted.keys() ^ stored.tensors.keys()):
        first = differing[0]
        told = "is missing" if first in wanted else "has no place in the model"
        raise SavedModelError(f"{stored.folder}: {len(differing)} tensors differ by name; {first} {told}")
    for name, tensor in stored.tensors.items():
        if tensor.shape != wanted[name] or FLOATS.get(tensor.dtype) is not dtype:
            raise SavedModelError(
                f"{stored.folder}: {name} is stored as {tensor.dtype} {list(tensor.shape)}, but the model has "
                f"{list(wanted[name])} in {dtype}"
            )


def _check_finite(stored: Checkpoint) -> None:
    for tensor in stored.tensors.values():
        for part in byte_parts(tensor):
            if not part.view(FLOATS[tensor.dtype]).isfinite().all():
                raise SavedModelError(
                    f"{tensor.file}: {tensor.name} has values that are no numbers; the checkpoints are kept"
                )
