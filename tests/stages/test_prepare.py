import json
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

from data_filters.errors import UserError
from hermes_train.chat.template import CONTROL_TAGS
from hermes_train.recipe.schema import ModelSection, RandomModel
from hermes_train.stages.prepare import prepare, prepared_tokenizer
from hermes_train.training.weights.bases import random_llama

TEXT = "Let us see: 12 + 30 = 42, é🙂"


def write_base(folder, tied=False, shard_size="5GB", change_config=None, **tokenizer_settings):
    """Write a small Llama with a byte-level tokenizer and Llama 3's control tokens; return its folder."""
    model, tokenizer = random_llama(RandomModel(tied_embeddings=tied), 1)
    for name, value in tokenizer_settings.items():
        setattr(tokenizer, name, value)
    for name, value in (change_config or {}).items():
        setattr(model.config, name, value)
    model.save_pretrained(folder, max_shard_size=shard_size)
    tokenizer.save_pretrained(folder)
    return folder


def section(base, template="llama3", dtype="float32", **others):
    return ModelSection(base=str(base), template=template, dtype=dtype, **others)


@torch.no_grad()
def logits(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model(**tokenizer(TEXT, return_tensors="pt")).logits


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shard_size", ["5GB", "60KB"])
@pytest.mark.parametrize("template", ["llama3", "chatml"])
def test_logits_of_old_tokens_are_unchanged_and_those_of_new_ones_differ(
    tmp_path, template, tied, shard_size
):
    base = write_base(tmp_path / "base", tied, shard_size)

    figures = prepare(section(base, template), 0, tmp_path / "stage")

    before, after = logits(base), logits(tmp_path / "stage" / "model")
    fresh = [figures["token_ids"][token] for token in (*figures["renamed"].values(), *figures["added"])]
    old = [token for token in range(before.shape[-1]) if token not in fresh]
    assert torch.equal(after[..., old], before[..., old])
    assert after.shape[-1] == figures["rows_after"] == (270 if template == "llama3" else 384)
    new = after[0, -1, fresh]
    assert len(set(new.tolist())) == len(fresh) >= len(CONTROL_TAGS), "no two new tokens are equal"
    assert (base / "model.safetensors.index.json").exists() == (shard_size == "60KB")


def test_the_figures_say_which_ids_the_tags_have_and_how_large_the_model_is(tmp_path):
    figures = prepare(ModelSection(random=RandomModel(), template="llama3"), 0, tmp_path)

    prepared = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert figures["renamed"] == {
        f"<|reserved_special_token_{number}|>": tag for number, tag in enumerate(CONTROL_TAGS)
    }
    wanted = (*CONTROL_TAGS, "<|finetune_right_pad_id|>")
    assert figures["token_ids"] == {token: tokenizer.convert_tokens_to_ids(token) for token in wanted}
    assert figures["parameters"] == prepared.num_parameters()
    assert (figures["rows_before"], figures["rows_after"], figures["tied_embeddings"]) == (270, 270, False)
    assert (figures["added"], figures["end_of_turn"]) == ((), "<|eot_id|>")
    assert [path.name for path in tmp_path.iterdir()] == ["model"], "nothing is left beside it"


@pytest.mark.parametrize("tied", [True, False])
def test_a_grown_model_counts_the_rows_that_were_added(tmp_path, tied):
    figures = prepare(section(write_base(tmp_path / "base", tied), "chatml"), 0, tmp_path / "stage")

    prepared = AutoModelForCausalLM.from_pretrained(tmp_path / "stage" / "model")
    assert figures["parameters"] == prepared.num_parameters()
    assert prepared.config.vocab_size == figures["rows_after"] == 384
    assert figures["tied_embeddings"] == tied


def test_all_weights_are_stored_in_the_dtype_of_the_recipe(tmp_path):
    base = write_base(tmp_path / "base")

    prepare(section(base, dtype="bfloat16"), 0, tmp_path / "stage")

    before = load_file(base / "model.safetensors")
    after = load_file(tmp_path / "stage" / "model" / "model.safetensors")
    assert before.keys() == after.keys()
    kept = [name for name in before if name not in ("model.embed_tokens.weight", "lm_head.weight")]
    assert all(torch.equal(after[name], before[name].bfloat16()) for name in kept)
    config = json.loads((tmp_path / "stage" / "model" / "config.json").read_text())
    assert config["dtype"] == "bfloat16"


def test_the_model_stops_at_the_end_of_a_turn_and_of_a_text_and_pads_with_neither(tmp_path):
    prepare(section(write_base(tmp_path / "base")), 0, tmp_path / "stage")

    model = tmp_path / "stage" / "model"
    ids = AutoTokenizer.from_pretrained(model).convert_tokens_to_ids
    generation = GenerationConfig.from_pretrained(model)
    config = json.loads((model / "config.json").read_text())
    assert generation.eos_token_id == [ids("<|eot_id|>"), ids("<|end_of_text|>")]
    assert config["eos_token_id"] == ids("<|eot_id|>")
    pad = ids("<|finetune_right_pad_id|>")
    assert generation.pad_token_id == config["pad_token_id"] == pad
    assert (generation.temperature, generation.top_p, generation.top_k) == (0.6, 0.95, 20)


OWN_TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}<tool_call>{{ eos_token }}{% endfor %}"


def test_a_base_that_keeps_its_template_keeps_its_end_tokens_and_gets_the_tags_that_it_needs(tmp_path):
    ends = [257, 260]
    base = write_base(
        tmp_path / "base",
        change_config={"eos_token_id": ends},
        chat_template=OWN_TEMPLATE,
        pad_token="<|end_of_text|>",
    )
    GenerationConfig(eos_token_id=ends).save_pretrained(base)

    figures = prepare(section(base, "base"), 0, tmp_path / "stage")

    model = tmp_path / "stage" / "model"
    tokenizer = AutoTokenizer.from_pretrained(model)
    assert tokenizer.chat_template == OWN_TEMPLATE
    assert list(figures["renamed"].values()) == ["<think>", "</think>", "<tool_call>"]
    assert tokenizer.eos_token == figures["end_of_turn"] == "<|end_of_text|>"
    assert GenerationConfig.from_pretrained(model).eos_token_id == ends
    assert json.loads((model / "config.json").read_text())["eos_token_id"] == ends
    assert tokenizer.pad_token == "<|finetune_right_pad_id|>", "the base's own one ends a text"


def test_a_base_that_never_stopped_where_its_template_ends_a_turn_does_so_when_prepared(tmp_path):
    template = OWN_TEMPLATE.replace("{{ eos_token }}", "<|eot_id|>")
    base = write_base(tmp_path / "base", change_config={"eos_token_id": 257}, chat_template=template)

    figures = prepare(section(base, "base"), 0, tmp_path / "stage")

    model = tmp_path / "stage" / "model"
    tokenizer = AutoTokenizer.from_pretrained(model)
    ends = tokenizer.convert_tokens_to_ids(["<|eot_id|>", "<|end_of_text|>"])
    assert tokenizer.eos_token == figures["end_of_turn"] == "<|eot_id|>"
    assert GenerationConfig.from_pretrained(model).eos_token_id == ends
    assert json.loads((model / "config.json").read_text())["eos_token_id"] == ends


def test_a_damaged_generation_config_is_told(tmp_path):
    base = write_base(tmp_path / "base")
    (base / "generation_config.json").write_text("{")

    with pytest.raises(UserError, match=r"generation_config.json cannot be read"):
        prepare(section(base, "llama3"), 0, tmp_path / "stage")


@pytest.mark.parametrize("template", ["llama3", "chatml", "base"])
def test_the_tokenizer_made_without_the_weights_is_that_of_the_prepared_model(tmp_path, template):
    base = write_base(tmp_path / "base", chat_template=OWN_TEMPLATE)

    alone = prepared_tokenizer(section(base, template))
    prepare(section(base, template), 0, tmp_path / "stage")

    alone.save_pretrained(tmp_path / "alone")
    for file in (tmp_path / "alone").iterdir():
        assert file.read_bytes() == (tmp_path / "stage" / "model" / file.name).read_bytes()


def test_a_base_without_a_chat_template_is_refused_where_the_recipe_asks_for_it(tmp_path):
    base = write_base(tmp_path / "base")

    with pytest.raises(UserError, match="brings no chat template; choose llama3 or chatml"):
        prepare(section(base, "base"), 0, tmp_path / "stage")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.json", "cannot read the config of the base"),
        ("tokenizer.json", "cannot read the tokenizer of the base"),
        ("model.safetensors", r"neither model\.safetensors nor"),
    ],
)
def test_a_folder_that_lacks_a_file_is_refused(tmp_path, name, message):
    base = write_base(tmp_path / "base")
    (base / name).unlink()

    with pytest.raises(UserError, match=message):
        prepare(section(base), 0, tmp_path / "stage")
    assert not (tmp_path / "stage" / "model").exists()


def test_a_quantised_base_is_refused(tmp_path):
    base = write_base(tmp_path / "base", change_config={"quantization_config": {"quant_method": "fp8"}})

    with pytest.raises(UserError, match="is quantised, and training needs whole weights"):
        prepare(section(base), 0, tmp_path / "stage")


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("/no/such/folder", "there is no such folder"),
        ("package:no_such_package/a.gguf", "the Python package no_such_package is not installed"),
        ("package:json/a.gguf", r"the package has no file a\.gguf"),
        ("someone/never-fetched", r"cannot fetch model\.base someone/never-fetched \(revision main\)"),
    ],
)
def test_a_base_that_is_not_there_is_refused(tmp_path, base, message):
    with pytest.raises(UserError, match=message):
        prepare(section(base), 0, tmp_path)


def test_a_model_of_the_hub_is_read_from_the_cache_when_there_is_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    repository = tmp_path / "cache" / "models--someone--small"
    write_base(repository / "snapshots" / ("0" * 40), shard_size="60KB")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)

    figures = prepare(section("someone/small"), 0, tmp_path / "stage")

    assert figures["parameters"] == 108608


# What follows needs a base that takes a moment to write: 111 MB in 4 shards of at most 34 MB, most of it vocabulary.
ROWS, WIDTH = 65_536, 256

PREPARE = """
import sys
from pathlib import Path
from hermes_train.recipe.schema import ModelSection
from hermes_train.stages.prepare import prepare, prepared_tokenizer

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

small, base, stage, dtype = sys.argv[1:]
prepare(ModelSection(base=small, template="llama3"), 0, Path(stage) / "small")
imports = status("VmRSS")
prepare(ModelSection(base=base, template="llama3", dtype=dtype), 0, Path(stage))
print(status("VmHWM") - imports)
"""


@pytest.fixture(scope="module")
def wide_base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wide")
    _, tokenizer = random_llama(RandomModel(), 0)
    config = LlamaConfig(
        vocab_size=ROWS,
        hidden_size=WIDTH,
        intermediate_size=6 * WIDTH,
        num_hidden_layers=16,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    LlamaForCausalLM(config).bfloat16().save_pretrained(folder, max_shard_size="34MB")
    tokenizer.save_pretrained(folder)
    assert len(list(folder.glob("*.safetensors"))) == 4
    return folder


def start(small, base, stage, dtype):
    return subprocess.Popen(
        [sys.executable, "-c", PREPARE, str(small), str(base), str(stage), dtype],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_peak_memory_stays_below_one_and_a_half_times_the_largest_shard(tmp_path, wide_base, dtype):
    process = start(write_base(tmp_path / "small"), wide_base, tmp_path / "stage", dtype)
    out, errors = process.communicate(timeout=120)

    assert process.returncode == 0, errors
    largest = max(file.stat().st_size for file in wide_base.glob("*.safetensors"))
    assert int(out.splitlines()[-1]) < 1.5 * largest


def test_killed_at_any_moment_nothing_half_written_is_taken_for_the_model(tmp_path, wide_base):
    small = write_base(tmp_path / "small")
    prepare(section(wide_base, dtype="float32"), 0, tmp_path / "whole")
    whole = {file.name: file.read_bytes() for file in (tmp_path / "whole" / "model").iterdir()}
    stage = tmp_path / "stage"
    aside = stage / "model.part"

    for delay in (0.0, 0.1, 0.2):
        process = start(small, wide_base, stage, "float32")
        while not aside.exists() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if (stage / "model").exists():
            break
    found = stage / "model"
    assert not found.exists() or {file.name: file.read_bytes() for file in found.iterdir()} == whole

    prepare(section(wide_base, dtype="float32"), 0, stage)
    assert {file.name: file.read_bytes() for file in found.iterdir()} == whole
    assert not aside.exists()
