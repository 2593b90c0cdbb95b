"""A pack gives the loss and the gradients that its documents give one by one.

Packed: rows of `PackedData`, TRL's collator and `PackTrainer.compute_loss`, as in training. One by one: each document
in a plain forward of its own, which knows nothing of packs or positions.
"""

import importlib.util

import numpy as np
import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM
from trl import SFTConfig

from data_filters.samples import Mode
from hermes_train.chat.labels import IGNORED, Document
from hermes_train.packing.bins import pack
from hermes_train.packing.dataset import PackedData
from hermes_train.packing.store import PackIndex, TokenStore, write_store
from hermes_train.recipe.schema import RandomModel
from hermes_train.recipe.training_sections import LoraSection
from hermes_train.training.arguments import lora_config, sft_arguments
from hermes_train.training.compute.loss import labelled_loss
from hermes_train.training.compute.varlen import register_varlen
from hermes_train.training.pack_trainer import PackTrainer
from hermes_train.training.weights.bases import random_llama

LENGTH = 64
SPANS = {7: [(3, 7)], 29: [(1, 29)], 28: [(2, 9), (20, 28)], 12: [(11, 12)], 40: [(5, 40)], 8: [(1, 8)]}
"""The documents by length, with the ranges that carry loss: two packs, the second with padding."""
VOCABULARY = 256


def llama():
    return random_llama(RandomModel(), 0)[0]


def qwen3():
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY + 14,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
    )
    return Qwen3ForCausalLM(config)


def documents():
    rng = np.random.default_rng(0)
    for length, spans in SPANS.items():
        ids = rng.integers(0, VOCABULARY, length).astype(np.int32)
        yield Document(f"of {length}", "s", Mode.DIRECT, ids, np.asarray(spans, np.int32))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs")
    write_store(folder, documents())
    PackIndex(*pack(TokenStore(folder).lengths(), LENGTH), LENGTH).save(folder / "index.npz")
    data = PackedData(folder, pad_token_id=0)
    assert len(data) == 2
    assert data.pack(1)["seq_lengths"][-1] not in SPANS, "the last pack ends in padding"
    return data


def make_trainer(model, data, folder, adapters=None):
    register_varlen()
    tokenizer = random_llama(RandomModel(), 0)[1]
    tokenizer.pad_token = "<|finetune_right_pad_id|>"
    # Weights larger than a fresh model's, so that attention really looks at other tokens.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)
    # As the hub gives it: the trainer has to switch the cache off by itself.
    model.config.use_cache = True
    arguments = SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=2,
        data_seed=0,
        bf16=False,
        use_cpu=not torch.cuda.is_available(),
        report_to=[],
        remove_unused_columns=False,
        gradient_checkpointing=False,
        **sft_arguments(parallelism=None),
    )
    return PackTrainer(
        model,
        arguments,
        train_dataset=data.as_dataset(),
        processing_class=tokenizer,
        peft_config=lora_config(adapters),
    )


@pytest.fixture(scope="module", params=[llama, qwen3])
def trainer(request, data, tmp_path_factory):
    trainer = make_trainer(request.param(), data, tmp_path_factory.mktemp("trainer"))
    trainer.model.train()
    return trainer


def on_device(trainer, inputs):
    return {
        name: value.to(trainer.model.device) if isinstance(value, torch.Tensor) else value
        for name, value in inputs.items()
    }


def label_tokens(data):
    return int(sum((data.store.labels(number)[1:] != IGNORED).sum() for number in range(len(data.store))))


def packed_loss(trainer, data, together=True):
    """The loss of all packs on the trainer's path, in one micro-batch or in one each."""
    rows = [data.as_dataset()[number] for number in range(len(data))]
    batches = [rows] if together else [[row] for row in rows]
    count = torch.tensor(label_tokens(data), device=trainer.model.device)
    return sum(
        trainer.compute_loss(trainer.model, on_device(trainer, trainer.data_collator(batch)), False, count)
        for batch in batches
    )


def document_loss(model, ids, labels):
    """The summed loss of one document, in a forward of its own."""
    ids, labels = (torch.as_tensor(part.astype(np.int64), device=model.device) for part in (ids, labels))
    logits = model(input_ids=ids[None], use_cache=False).logits[0]
    return torch.nn.functional.cross_entropy(
        logits[:-1].float(), labels[1:], ignore_index=IGNORED, reduction="sum"
    )


def loss_one_by_one(model, data):
    store = data.store
    losses = [document_loss(model, store.input_ids(n), store.labels(n)) for n in range(len(store))]
    return sum(losses) / label_tokens(data)


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def assert_equal_gradients(one, other, relative):
    assert one.keys() == other.keys()
    for name, gradient in other.items():
        assert gradient.norm() > 0, name
        assert (one[name] - gradient).norm() <= relative * gradient.norm(), name


@pytest.mark.parametrize("together", [True, False], ids=["one micro-batch", "two micro-batches"])
@pytest.mark.parametrize("attention", ["eager", "sdpa", "varlen"])
def test_packed_loss_and_gradients_equal_those_of_the_documents_one_by_one(
    trainer, data, attention, together
):
    model = trainer.model
    model.set_attn_implementation(attention)

    packed, alone = packed_loss(trainer, data, together=together), loss_one_by_one(model, data)

    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=0)
    assert_equal_gradients(gradients(model, packed), gradients(model, alone), 1e-5)


@pytest.mark.long
def test_the_packed_loss_of_flex_attention_equals_that_of_the_documents_one_by_one(trainer, data):
    model = trainer.model
    # PyTorch has no backward of flex attention on CPU; gradients are compared where there is a GPU.
    with torch.no_grad():
        model.set_attn_implementation("flex_attention")
        packed = packed_loss(trainer, data)
        model.set_attn_implementation("sdpa")
        torch.testing.assert_close(packed, loss_one_by_one(model, data), rtol=1e-5, atol=0)


def first_pack(trainer, data):
    inputs = trainer.data_collator([data.as_dataset()[0]])
    del inputs["modes"]
    return inputs


@pytest.mark.parametrize("attention", ["eager", "sdpa", "varlen"])
def test_unlabelled_tokens_of_a_document_change_neither_loss_nor_gradient_of_the_others(
    trainer, data, attention
):
    model = trainer.model
    model.set_attn_implementation(attention)
    inputs = first_pack(trainer, data)
    first = len(data.store.input_ids(data.index.documents(0)[0]))
    inputs["labels"][0, :first] = IGNORED
    before = labelled_loss(model, inputs).total
    of_before = gradients(model, before)
    assert before > 0
    inputs["input_ids"][0, :first] = (inputs["input_ids"][0, :first] + 1) % VOCABULARY

    after = labelled_loss(model, inputs).total

    assert torch.equal(after, before)
    assert_equal_gradients(gradients(model, after), of_before, 1e-6)


def test_a_cache_would_let_documents_see_each_other_and_so_the_trainer_never_uses_one(trainer, data):
    trainer.model.set_attn_implementation("sdpa")
    inputs = first_pack(trainer, data)
    forward = {name: inputs[name] for name in ("input_ids", "position_ids")}
    used = []

    with torch.no_grad():
        with_cache = trainer.model(**forward, use_cache=True).logits
        without = trainer.model(**forward, use_cache=False).logits
    hook = trainer.model.base_model.register_forward_pre_hook(
        lambda model, args, kwargs: used.append(kwargs["use_cache"]), with_kwargs=True
    )
    packed_loss(trainer, data)
    hook.remove()

    assert not torch.allclose(with_cache, without, atol=1e-3)
    assert used == [False]


def test_the_loss_on_labelled_positions_is_the_models_own_loss(trainer, data):
    trainer.model.set_attn_implementation("sdpa")
    inputs = first_pack(trainer, data)
    count = (inputs["labels"][0, 1:] != IGNORED).sum()

    own = trainer.model(**inputs, use_cache=False).loss

    torch.testing.assert_close(labelled_loss(trainer.model, inputs).total / count, own, rtol=1e-5, atol=0)


@pytest.mark.gpu
def test_flex_attention_gives_the_gradients_of_the_documents_one_by_one(trainer, data):
    model = trainer.model
    model.set_attn_implementation("flex_attention")
    packed = packed_loss(trainer, data)
    of_packs = gradients(model, packed)

    model.set_attn_implementation("sdpa")
    alone = loss_one_by_one(model, data)

    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=0)
    assert_equal_gradients(of_packs, gradients(model, alone), 1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("attention", "package"),
    [
        ("varlen", "torch"),
        ("flash_attention_2", "flash_attn"),
        ("flash_attention_3", "flash_attn_interface"),
        ("flash_attention_4", "flash_attn"),
    ],
)
def test_attention_in_16_bits_gives_the_gradients_of_the_documents_one_by_one(
    trainer, data, attention, package
):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    model = trainer.model
    # Its kernels know no float32: the difference of two sums in bfloat16 is what may remain.
    with torch.autocast("cuda", torch.bfloat16):
        model.set_attn_implementation(attention)
        packed = packed_loss(trainer, data)
        alone = loss_one_by_one(model, data)

    torch.testing.assert_close(packed, alone, rtol=1e-2, atol=0)
    assert_equal_gradients(gradients(model, packed), gradients(model, alone), 5e-2)


@pytest.mark.parametrize("quantised", [False, True], ids=["adapters", "QLoRA"])
def test_adapters_over_bfloat16_are_their_own_float32_masters(data, tmp_path, quantised):
    model = llama().bfloat16()
    # What makes TRL cast adapters; four bits themselves need a GPU.
    model.is_loaded_in_4bit = quantised

    parameters = list(make_trainer(model, data, tmp_path, LoraSection(rank=4)).model.parameters())

    assert {p.dtype for p in parameters if p.requires_grad} == {torch.float32}
    assert {p.dtype for p in parameters if not p.requires_grad} == {torch.bfloat16}
