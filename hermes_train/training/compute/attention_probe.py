"""A try before step 1: does a pack on this machine, by the path chosen, give the losses of its documents one by one?

Libraries have let packed documents see each other on some path or other, without a word. The try is on the trainer's
own batch and loss, with a model of the real family that has two layers and few heads, so that it takes a second or
less. It also sees a head whose logits a family forms in a way that our loss does not know.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, PretrainedConfig, PreTrainedModel

from data_filters.errors import UserError
from hermes_train.training.compute.kernels import use_kernels
from hermes_train.training.compute.loss import add_labelled_loss, labelled_loss
from hermes_train.training.pack_collator import PackCollator

_LENGTHS = (48, 80)
_VOCABULARY = 512
_LAYERS = 2
_MOST_GROUPS_TWICE = 4
"""With more query heads than that for a key head, one key head is enough: two would only make the model wide."""
_WEIGHTS = 2.0
"""Standard deviation of the weights times the root of their inputs: more than models begin with, so that attention
looks at other tokens."""
_LARGEST_SHARE = 0.1
"""Of what documents that see each other would change, so much may be rounding."""


def require_documents_apart(
    config: PretrainedConfig, attention: str, kernels: str, precision: str, device: torch.device
) -> None:
    """Raise UserError when a pack of two documents does not give, token by token, the losses of each alone.

    `config` is the real model's; `attention` and `kernels` are the paths that were chosen for it. The documents alone
    go through transformers' own forward with eager attention, which knows all that a family asks for, in float32.
    """
    model = small_model(config, attention, device)
    plain = small_model(config, "eager", device)
    plain.load_state_dict(model.state_dict())
    # Kernels change functions of a whole family: what is compared with is computed first.
    documents = [_tokens(length).to(device) for length in _LENGTHS]
    with torch.no_grad():
        alone = torch.cat([_own_losses(plain, document) for document in documents])
        # All but the prediction of one document's first token by the other.
        together = _own_losses(plain, torch.cat(documents))
        seen = torch.cat([together[: _LENGTHS[0] - 1], together[_LENGTHS[0] :]])
        use_kernels(model, kernels)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            packed = _packed_losses(model, documents)
    difference = float((packed - alone).abs().mean())
    if not difference <= _LARGEST_SHARE * float((seen - alone).abs().mean()):
        raise UserError(
            f"on this machine packs of {config.model_type} with model.attention {attention} and kernels {kernels} do "
            f"not give the losses of their documents one by one (a token's is off by {difference:.2g} in the mean), so "
            "they are not trained with; take another model.attention, such as sdpa, or kernels torch"
        )


def small_model(config: PretrainedConfig, attention: str, device: torch.device) -> PreTrainedModel:
    """Return a model of the same family with the same head size and as many query heads for each key head."""
    small = copy.deepcopy(config)
    heads = config.num_attention_heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
    groups = heads // (getattr(config, "num_key_value_heads", None) or heads)
    key_heads = 2 if groups <= _MOST_GROUPS_TWICE else 1
    changed = {
        "num_hidden_layers": _LAYERS,
        "vocab_size": _VOCABULARY,
        "num_attention_heads": key_heads * groups,
        "num_key_value_heads": key_heads,
        "head_dim": head_size,
        "hidden_size": key_heads * groups * head_size,
        "intermediate_size": 128,
        "layer_types": (getattr(config, "layer_types", None) or [])[:_LAYERS] or None,
    }
    for name, value in changed.items():
        if hasattr(small, name):
            setattr(small, name, value)
    small.pad_token_id = small.bos_token_id = small.eos_token_id = None
    small._attn_implementation = attention
    # The class itself: `from_config` would spread the model over the ranks under ZeRO-3.
    with _own_random_numbers():
        model = MODEL_FOR_CAUSAL_LM_MAPPING[type(small)](small)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.normal_(std=_WEIGHTS / math.sqrt(parameter.shape[-1]))
    return model.float().to(device).train()


@contextmanager
def _own_random_numbers() -> Iterator[None]:
    """Leave the run's random numbers as they are."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _tokens(length: int) -> Tensor:
    return torch.randint(_VOCABULARY, (length,), generator=torch.Generator().manual_seed(length))


def _own_losses(model: PreTrainedModel, document: Tensor) -> Tensor:
    """Return the losses of a document's tokens but the first, by the model's plain forward."""
    logits = model(input_ids=document[None], use_cache=False).logits[0, :-1]
    return torch.nn.functional.cross_entropy(logits.float(), document[1:], reduction="none")


def _packed_losses(model: PreTrainedModel, documents: list[Tensor]) -> Tensor:
    """Return the same of all documents in one pack, on the trainer's path."""
    tokens = torch.cat(documents)
    row = {
        "input_ids": tokens.cpu().numpy(),
        "labels": tokens.cpu().numpy(),
        "seq_lengths": [len(document) for document in documents],
        "modes": [0] * len(documents),
    }
    batch = PackCollator(pad_token_id=0)([row])
    batch.pop("modes")
    inputs = {
        name: value.to(tokens.device) if isinstance(value, Tensor) else value for name, value in batch.items()
    }
    add_labelled_loss(model)
    return labelled_loss(model, inputs).token_losses
