"""The loss over labelled positions, chunk by chunk, is the plain cross entropy of the same logits."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CohereConfig, Gemma2Config, GraniteConfig, LlamaConfig, LlamaForCausalLM

from hermes_train.chat.labels import IGNORED
from hermes_train.training.compute import loss as loss_module
from hermes_train.training.compute.loss import LogitsForm, add_labelled_loss, labelled_loss, summed_loss

WIDTH, VOCABULARY = 16, 50
FORMS = {
    "plain": LogitsForm(),
    "scaled": LogitsForm(scale=0.25),
    "capped": LogitsForm(softcap=3.0),
    "both": LogitsForm(scale=2.0, softcap=5.0),
}


def plain_loss(hidden, weight, bias, targets, form):
    logits = torch.nn.functional.linear(hidden, weight, bias).float() * form.scale
    if form.softcap:
        logits = form.softcap * torch.tanh(logits / form.softcap)
    return torch.nn.functional.cross_entropy(logits, targets, reduction="none")


def drawn(rows, seed=0, dtype=torch.float32):
    numbers = torch.Generator().manual_seed(seed)
    shapes = ((rows, WIDTH), (VOCABULARY, WIDTH), (VOCABULARY,))
    parts = [torch.randn(shape, generator=numbers).to(dtype).requires_grad_() for shape in shapes]
    return (*parts, torch.randint(VOCABULARY, (rows,), generator=numbers))


def take_gradients(total, parts):
    return torch.autograd.grad(total, parts)


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of seven rows."""
    monkeypatch.setitem(loss_module.CHUNK_BYTES, "cpu", 7 * 4 * VOCABULARY)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("rows", [0, 1, 7, 20])
def test_loss_and_gradients_are_those_of_the_plain_cross_entropy(rows, form):
    hidden, weight, bias, targets = drawn(rows)

    total, token_losses = summed_loss(hidden, weight, bias, targets, form)
    expected = plain_loss(hidden, weight, bias, targets, form)

    torch.testing.assert_close(token_losses, expected)
    torch.testing.assert_close(total, expected.sum())
    # Times a factor, as the division by the labels of the global batch is one.
    ours = take_gradients(0.3 * total, (hidden, weight, bias))
    plain = take_gradients(0.3 * expected.sum(), (hidden, weight, bias))
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other)
    assert not token_losses.requires_grad


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 30), chunk=st.integers(1, 40), seed=st.integers(0, 9))
def test_the_size_of_a_chunk_changes_nothing(rows, chunk, seed):
    hidden, weight, bias, targets = drawn(rows, seed)
    whole = summed_loss(hidden, weight, bias, targets)[0]
    before = take_gradients(whole, (hidden, weight, bias))

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(loss_module.CHUNK_BYTES, "cpu", chunk * 4 * VOCABULARY)
        total = summed_loss(hidden, weight, bias, targets)[0]
        after = take_gradients(total, (hidden, weight, bias))

    torch.testing.assert_close(total, whole)
    for one, other in zip(after, before, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("small_chunks")
def test_logits_are_never_larger_than_a_chunk(monkeypatch):
    rows = []
    plain = torch.log_softmax
    monkeypatch.setattr(
        torch, "log_softmax", lambda *args, **kwargs: rows.append(len(args[0])) or plain(*args, **kwargs)
    )
    hidden, weight, bias, targets = drawn(20)

    summed_loss(hidden, weight, bias, targets)

    assert rows == [7, 7, 6]


def test_a_frozen_head_has_no_gradient_and_its_states_still_do():
    hidden, weight, bias, targets = drawn(5)

    total, _ = summed_loss(hidden, weight.detach(), bias.detach(), targets)

    (gradient,) = take_gradients(total, (hidden,))
    (expected,) = take_gradients(plain_loss(hidden, weight, bias, targets, LogitsForm()).sum(), (hidden,))
    torch.testing.assert_close(gradient, expected)


def test_under_autocast_the_head_computes_in_bfloat16_and_the_loss_in_float32():
    hidden, weight, bias, targets = drawn(40)
    with torch.autocast("cpu", torch.bfloat16):
        total, token_losses = summed_loss(hidden, weight, bias, targets)
        outputs = torch.nn.functional.linear(hidden, weight, bias)

    expected = torch.nn.functional.cross_entropy(outputs.float(), targets, reduction="none")
    assert token_losses.dtype == torch.float32
    torch.testing.assert_close(token_losses, expected)
    assert [part.dtype for part in take_gradients(total, (hidden, weight))] == [torch.float32] * 2


def test_without_gradients_wanted_none_are_computed():
    hidden, weight, bias, targets = drawn(5)
    with torch.no_grad():
        total, _ = summed_loss(hidden, weight, bias, targets)

    assert not total.requires_grad


def test_a_second_backward_pass_is_refused_and_not_wrong():
    hidden, weight, bias, targets = drawn(5)
    total, _ = summed_loss(hidden, weight, bias, targets)
    total.backward(retain_graph=True)

    with pytest.raises(RuntimeError, match="once only"):
        total.backward()


@pytest.mark.parametrize(
    ("config", "form"),
    [
        (LlamaConfig(), LogitsForm()),
        (GraniteConfig(logits_scaling=8.0), LogitsForm(scale=0.125)),
        (CohereConfig(logit_scale=0.0625), LogitsForm(scale=0.0625)),
        (Gemma2Config(final_logit_softcapping=30.0), LogitsForm(softcap=30.0)),
    ],
    ids=lambda value: getattr(value, "model_type", ""),
)
def test_each_familys_own_form_of_logits_is_known(config, form):
    assert LogitsForm.of(config) == form


@pytest.fixture(scope="module", params=[False, True], ids=["own head", "tied head"])
def model(request):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=request.param,
    )
    model = LlamaForCausalLM(config)
    add_labelled_loss(model)
    return model


@pytest.fixture
def batch():
    tokens = torch.randint(VOCABULARY, (1, 24), generator=torch.Generator().manual_seed(1))
    labels = torch.where(torch.arange(24) % 3 > 0, tokens, IGNORED)
    return {"input_ids": tokens, "labels": labels, "position_ids": torch.arange(24)[None]}


def gradients_of(model, total):
    model.zero_grad()
    total.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_models_loss_and_gradients_are_its_own_loss_summed(model, batch, checkpointing):
    model.train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    loss = labelled_loss(model, batch)
    ours = gradients_of(model, loss.total)
    model.gradient_checkpointing_disable()
    count = len(loss.token_losses)

    own = model(**batch, use_cache=False).loss * count

    assert count == 16 == (batch["labels"] != IGNORED).sum()
    torch.testing.assert_close(loss.total, own)
    for name, gradient in gradients_of(model, own).items():
        torch.testing.assert_close(ours[name], gradient, msg=name)


def test_labels_that_are_shifted_already_give_the_same_loss(model, batch):
    shifted = {name: value for name, value in batch.items() if name != "labels"}
    shifted["shift_labels"] = torch.nn.functional.pad(batch["labels"][:, 1:], (0, 1), value=IGNORED)

    assert torch.equal(labelled_loss(model, shifted).total, labelled_loss(model, batch).total)


def test_a_batch_without_labels_has_no_loss_and_gradients_of_zero(model, batch):
    total = labelled_loss(model, batch | {"labels": torch.full_like(batch["labels"], IGNORED)}).total

    assert total == 0
    assert all((gradient == 0).all() for gradient in gradients_of(model, total).values())


def test_other_calls_of_the_model_are_as_before(model, batch):
    logits = model(input_ids=batch["input_ids"], use_cache=False).logits

    assert logits.shape == (1, 24, VOCABULARY)
