"""A model loaded under ZeRO-3: each rank reads its own part of each weight, and none ever holds the whole model.

transformers' own `from_pretrained` reads every file whole on rank 0, which for 405 billion parameters is 810 GB in the
memory of one node.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from data_filters.errors import UserError
from hermes_train.training.weights.checkpoint_files import (
    FLOATS,
    Checkpoint,
    StoredTensor,
    open_checkpoint,
    read_elements,
)


def load_partitioned(folder: Path, dtype: torch.dtype, attention: str) -> PreTrainedModel:
    """Return the model in `folder`, its weights in `dtype` and spread over the ranks as ZeRO-3 spreads them.

    Every rank calls this, after the arguments that say ZeRO-3 were made. Raises UserError where a weight is missing, is
    stored in another shape or is quantised, or where the folder has weights that the model has no place for.
    """
    import deepspeed
    from transformers.initialization import no_init_weights
    from transformers.integrations import deepspeed_config
    from transformers.modeling_utils import set_zero3_state

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    # The last of these keeps transformers from partitioning once more and from drawing weights that are read below. The
    # dtype is not told to DeepSpeed: it takes that of its configuration, and misreads what it is told on a CPU.
    with (
        no_init_weights(),
        deepspeed.zero.Init(config_dict_or_path=deepspeed_config()),
        set_zero3_state(),
    ):
        model = AutoModelForCausalLM.from_config(
            config, dtype=dtype, attn_implementation=attention, trust_remote_code=False
        )
    model.tie_weights()
    stored = open_checkpoint(folder)
    for parameter, tensor in _places(model, stored):
        _read_own_part(parameter, tensor)
    return model


def _places(model: PreTrainedModel, stored: Checkpoint) -> list[tuple[torch.nn.Parameter, StoredTensor]]:
    """Return each parameter with the tensor that holds it."""
    names: dict[torch.nn.Parameter, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(name)
    places = [
        (parameter, _tensor_of(parameter, alternatives, stored.tensors, stored.folder))
        for parameter, alternatives in names.items()
    ]
    known = {name for alternatives in names.values() for name in alternatives}
    if strange := sorted(set(stored.tensors) - known):
        raise UserError(
            f"{stored.folder} has {len(strange)} tensors that {type(model).__name__} has no place for, the first is "
            f"{strange[0]}; is its config.json that of another model?"
        )
    return places


def _tensor_of(
    parameter: torch.nn.Parameter, names: list[str], tensors: Mapping[str, StoredTensor], folder: Path
) -> StoredTensor:
    found = next((tensors[name] for name in names if name in tensors), None)
    shape = tuple(parameter.ds_shape)  # type: ignore[attr-defined]  # DeepSpeed adds it
    if found is None:
        raise UserError(f"{folder} has no tensor {names[0]}, which its config.json asks for")
    if found.shape != shape or found.dtype not in FLOATS:
        raise UserError(
            f"{found.name} in {found.file} is {found.dtype} {list(found.shape)}, but config.json asks for "
            f"{list(shape)} in one of {', '.join(FLOATS)}"
        )
    return found


def _read_own_part(parameter: torch.nn.Parameter, tensor: StoredTensor) -> None:
    """Fill this rank's part of a parameter. The parts are equal; what is left of the last one stays as it is."""
    own = parameter.ds_tensor  # type: ignore[attr-defined]  # DeepSpeed adds these
    rank = torch.distributed.get_rank(parameter.ds_process_group)  # type: ignore[attr-defined]
    total = parameter.ds_numel  # type: ignore[attr-defined]
    first = min(rank * own.numel(), total)
    count = min(own.numel(), total - first)
    with torch.no_grad():
        own.narrow(0, 0, count).copy_(read_elements(tensor, first, count))
    if parameter.ds_secondary_tensor is not None:  # type: ignore[attr-defined]
        _renew_second_copy(parameter)


def _renew_second_copy(parameter: torch.nn.Parameter) -> None:
    """Make the copy that the GPUs of a node share (hpZ) from the parts just read; without it they are gathered."""
    from deepspeed import zero

    parameter.ds_secondary_tensor = None  # type: ignore[attr-defined]
    with zero.GatheredParameters([parameter], modifier_rank=0):
        pass
