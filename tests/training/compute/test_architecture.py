import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
)
from transformers.integrations import HfDeepSpeedConfig, is_deepspeed_zero3_enabled

from data_filters.errors import UserError
from hermes_train.training.compute.architecture import KNOWN_BASES, Architecture

DENSE = (LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config)


def tiny(family: type[PretrainedConfig], **changes: object) -> PretrainedConfig:
    sizes = {
        "vocab_size": 270,
        "hidden_size": 48,
        "intermediate_size": 80,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "head_dim": 12,
    }
    return family(**(sizes | changes))


def written(config: PretrainedConfig, folder: Path) -> Path:
    config.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", DENSE)
@given(
    layers=st.integers(1, 3),
    head_dim=st.sampled_from([8, 12]),
    key_value_heads=st.sampled_from([1, 2, 4]),
    tied=st.booleans(),
    bias=st.booleans(),
)
@settings(max_examples=5, deadline=None)
def test_the_closed_form_of_dense_families_is_what_the_meta_device_counts(
    family: type[PretrainedConfig],
    tmp_path_factory: pytest.TempPathFactory,
    layers: int,
    head_dim: int,
    key_value_heads: int,
    tied: bool,
    bias: bool,
) -> None:
    config = tiny(
        family,
        num_hidden_layers=layers,
        head_dim=head_dim,
        num_key_value_heads=key_value_heads,
        tie_word_embeddings=tied,
    )
    if family is LlamaConfig:
        config.attention_bias = config.mlp_bias = bias
    elif family is Qwen3Config:
        config.attention_bias = bias
    if family is Qwen2Config:
        # The class takes no other head size than this.
        config.head_dim = config.hidden_size // config.num_attention_heads

    by_config = Architecture.of_config(config)

    assert Architecture.of_folder(written(config, tmp_path_factory.mktemp("model"))) == by_config


@pytest.mark.parametrize(
    ("base", "family", "parameters"),
    [
        ("meta-llama/Llama-3.1-8B", LlamaConfig, 8_030_261_248),
        ("meta-llama/Llama-3.1-70B", LlamaConfig, 70_553_706_496),
        ("meta-llama/Llama-3.1-405B", LlamaConfig, 405_853_388_800),
        ("Qwen/Qwen3-14B", Qwen3Config, 14_768_307_200),
        ("Qwen/Qwen3-14B-Base", Qwen3Config, 14_768_307_200),
        ("HuggingFaceTB/SmolLM2-135M", LlamaConfig, 134_515_008),
    ],
)
def test_known_bases_have_the_parameters_that_the_meta_device_counts(
    base: str, family: type[PretrainedConfig], parameters: int
) -> None:
    known = KNOWN_BASES[base]
    config = family(
        vocab_size=known.vocabulary,
        hidden_size=known.hidden_size,
        intermediate_size=known.intermediate_size,
        num_hidden_layers=known.layers,
        num_attention_heads=known.heads,
        num_key_value_heads=known.key_value_heads,
        head_dim=known.head_dim,
        max_position_embeddings=known.max_positions,
        tie_word_embeddings=known.tied_embeddings,
    )

    assert known.parameters == parameters
    assert Architecture.of_config(config) == known


def test_parts_of_the_parameters_add_up() -> None:
    for known in KNOWN_BASES.values():
        last_norm = known.hidden_size
        parts = known.layers * known.layer_parameters + known.embedding_parameters + known.head_parameters
        assert parts + last_norm == known.parameters
        looked_up_only = 0 if known.tied_embeddings else known.embedding_parameters
        assert known.multiplied_parameters == known.parameters - looked_up_only


def test_a_model_with_more_rows_has_their_parameters_in_embedding_and_head() -> None:
    config = tiny(LlamaConfig)

    grown = Architecture.of_config(config).with_vocabulary(400)

    config.vocab_size = 400
    assert grown == Architecture.of_config(config)


def test_of_a_mixture_of_experts_a_token_meets_the_chosen_ones_alone() -> None:
    config = tiny(
        Qwen3MoeConfig, num_experts=4, num_experts_per_tok=1, moe_intermediate_size=32, decoder_sparse_step=1
    )
    one_expert = 3 * 48 * 32

    shape = Architecture.of_config(config)

    assert shape.parameters - shape.active_parameters == 3 * 3 * one_expert


def test_other_families_are_counted_on_the_meta_device(tmp_path: Path) -> None:
    config = GPTNeoXConfig(
        vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    )
    with torch.device("meta"):
        expected = AutoModelForCausalLM.from_config(config).num_parameters()

    assert Architecture.of_folder(written(config, tmp_path)).parameters == expected


def test_other_families_are_counted_whole_where_zero_3_spreads_models_over_ranks(tmp_path: Path) -> None:
    config = GPTNeoXConfig(
        vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    )
    alone = Architecture.of_folder(written(config, tmp_path))

    zero_3 = HfDeepSpeedConfig({"zero_optimization": {"stage": 3}, "train_micro_batch_size_per_gpu": 1})

    assert is_deepspeed_zero3_enabled()
    assert Architecture.of_folder(tmp_path) == alone
    del zero_3


@pytest.mark.parametrize("content", [None, "{"])
def test_a_folder_without_a_readable_config_is_told_in_one_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)

    with pytest.raises(UserError, match=r"config\.json") as refusal:
        Architecture.of_folder(tmp_path)

    assert "\n" not in str(refusal.value)


def test_qwen3_has_heads_of_128_where_its_config_says_nothing(tmp_path: Path) -> None:
    path = written(tiny(Qwen3Config), tmp_path) / "config.json"
    stated = json.loads(path.read_text())
    del stated["head_dim"]
    path.write_text(json.dumps(stated))

    assert Architecture.of_folder(tmp_path).head_dim == Qwen3Config().head_dim
