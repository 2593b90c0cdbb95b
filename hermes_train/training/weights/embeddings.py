"""The tensors of a checkpoint that have a row for each token, and the rows that new tokens get in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from data_filters.errors import UserError
from hermes_train.training.weights.checkpoint_changes import NewRows
from hermes_train.training.weights.checkpoint_files import (
    FLOATS,
    Checkpoint,
    StoredTensor,
    row_parts,
    same_values,
)

ROW_MULTIPLE = 128
"""Rows of an enlarged embedding are a multiple of this: tensor cores and tensor parallelism want round shapes."""

NOISE = 0.5
"""Noise of a new row, in standard deviations of the old rows."""


@dataclass(frozen=True)
class VocabularyTensors:
    """What of a checkpoint has a row for each token."""

    tensors: tuple[StoredTensor, ...]
    """The input embedding first, then the head and its bias where they are tensors of their own."""
    copies: tuple[str, ...]
    """Names of stored tensors that are the same as one of `tensors`: a tied head need not be stored."""
    tied: bool
    """Whether the head is the input embedding."""
    parameters: int
    """Of the whole model."""
    architecture: str
    """The class that reads the checkpoint."""

    @property
    def rows(self) -> int:
        """Rows of the input embedding."""
        return self.tensors[0].shape[0]

    @property
    def parameters_of_a_row(self) -> int:
        """Parameters of one token, over all tensors."""
        return sum(math.prod(tensor.shape[1:]) for tensor in self.tensors)


def find_vocabulary_tensors(config: PretrainedConfig, checkpoint: Checkpoint) -> VocabularyTensors:
    """Ask the model's class, without any weights, which parameters have a row for each token, and find them stored.

    Raises UserError where a parameter is not stored, is stored in another shape or dtype than training can use, or is
    stored twice with different values.
    """
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except ValueError as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"the base in {checkpoint.folder} is no causal language model: {reason}") from error
    parameters = _vocabulary_parameters(model)
    stored = [_stored(checkpoint, model, parameter, names) for parameter, names in parameters]
    head = model.get_output_embeddings()
    return VocabularyTensors(
        tensors=tuple(first for first, *_ in stored),
        copies=tuple(copy.name for _, *copies in stored for copy in copies),
        tied=head is not None and head.weight is model.get_input_embeddings().weight,
        parameters=model.num_parameters(),
        architecture=type(model).__name__,
    )


def _vocabulary_parameters(model: PreTrainedModel) -> list[tuple[torch.nn.Parameter, list[str]]]:
    """Return the parameters of the input embedding and the head, each with all names that it goes by."""
    head = model.get_output_embeddings()
    wanted = [*model.get_input_embeddings().parameters(), *(head.parameters() if head is not None else ())]
    names: dict[int, list[str]] = {id(parameter): [] for parameter in wanted}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in names:
            names[id(parameter)].append(name)
    distinct = {id(parameter): parameter for parameter in wanted}
    return [(parameter, names[identity]) for identity, parameter in distinct.items()]


def _stored(
    checkpoint: Checkpoint, model: PreTrainedModel, parameter: torch.nn.Parameter, names: list[str]
) -> list[StoredTensor]:
    """Return what is stored of a parameter: one tensor, or several that are equal."""
    prefix = f"{model.base_model_prefix}."
    spellings = [spelling for name in names for spelling in (name, name.removeprefix(prefix), prefix + name)]
    stored = [checkpoint.tensors[name] for name in dict.fromkeys(spellings) if name in checkpoint.tensors]
    if not stored:
        raise UserError(
            f"the base in {checkpoint.folder} has no tensor {' or '.join(names)}, which {type(model).__name__} "
            f"needs; it has {', '.join(list(checkpoint.tensors)[:3])} ..."
        )
    first, *others = stored
    if first.shape != tuple(parameter.shape) or first.dtype not in FLOATS:
        raise UserError(
            f"{first.name} in {first.file} is stored as {first.dtype} {list(first.shape)}, but config.json asks for "
            f"{list(parameter.shape)} in one of {', '.join(FLOATS)}; give a base that is whole and not quantised"
        )
    for other in others:
        if not same_values(first, other):
            raise UserError(
                f"the base in {checkpoint.folder} ties {other.name} to {first.name}, but stores them with different "
                "values; set tie_word_embeddings to false in its config.json, or remove the one that is not meant"
            )
    return stored


def rows_after(rows: int, tokens: int) -> int:
    """Return how many rows an embedding of `rows` needs for `tokens`: as many, or a multiple of ROW_MULTIPLE."""
    return rows if tokens <= rows else math.ceil(tokens / ROW_MULTIPLE) * ROW_MULTIPLE


def new_rows(tensor: StoredTensor, total: int, fresh: Sequence[int]) -> NewRows:
    """Return rows for the tokens `fresh` (sorted ids): the mean of all other rows and half their spread as noise.

    The noise is the same at every run. Without it tags that start out equal get equal gradients through the state
    before them, and a short training never tells `<think>` from `</think>`.
    """
    mean, deviation = _row_statistics(tensor, fresh)
    noise = torch.randn(len(fresh), len(mean), generator=torch.Generator().manual_seed(0))
    values = mean + NOISE * deviation * noise
    return NewRows(total, tuple(fresh), values.view(len(fresh), *tensor.shape[1:]))


def _row_statistics(tensor: StoredTensor, without: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean and the standard deviation of a tensor's rows, in float32, column by column."""
    width = math.prod(tensor.shape[1:])
    total = torch.zeros(width, dtype=torch.float64)
    squares = torch.zeros(width, dtype=torch.float64)
    known = torch.ones(tensor.shape[0], dtype=torch.bool)
    known[[row for row in without if row < tensor.shape[0]]] = False
    first = 0
    for part in row_parts(tensor):
        rows = part[known[first : first + len(part)]].double()
        total += rows.sum(dim=0)
        squares += rows.square_().sum(dim=0)
        first += len(part)
    count = int(known.sum())
    mean = total / count
    variance = (squares - count * mean.square()).clamp_(min=0) / (count - 1)
    return mean.float(), variance.sqrt().float()
